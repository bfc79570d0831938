package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// encoding is JSON as the specification has it: camelCase, 64-bit integers as strings, enums by name, bytes in base64,
// what is not set left out. Both spellings of a field are read; a field that nobody knows is an error, so that a typing error is not silent.
var (
	encoding = protojson.MarshalOptions{}
	decoding = protojson.UnmarshalOptions{}
	// errorEncoding writes details also where there are none.
	errorEncoding = protojson.MarshalOptions{EmitUnpopulated: true}
)

// firstRead is the most memory that a body gets before any of it has come, whatever its header announces.
const firstRead = 64 << 10

// jsonMarshaler is encoding for grpc-gateway.
type jsonMarshaler struct{ runtime.JSONPb }

func newJSONMarshaler() *jsonMarshaler {
	return &jsonMarshaler{runtime.JSONPb{MarshalOptions: encoding, UnmarshalOptions: decoding}}
}

// NewDecoder reads the whole of r, because what follows a JSON value is an error, too.
func (*jsonMarshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		message, ok := v.(proto.Message)
		if !ok {
			return fmt.Errorf("decode JSON into %T", v)
		}
		err := readJSON(r, message)
		if body, ok := r.(*requestBody); ok {
			// grpc-gateway makes a text of the error; the body keeps it for the answer.
			body.err = err
		}
		return err
	})
}

// readJSON reads a message that is the whole of r. An empty r is the empty message.
func readJSON(r io.Reader, m proto.Message) error {
	text := bytes.NewBuffer(make([]byte, 0, bytes.MinRead+announced(r)))
	if _, err := text.ReadFrom(r); err != nil {
		return unreadable(r, err)
	}
	if text.Len() == 0 {
		return nil
	}
	if err := decoding.Unmarshal(text.Bytes(), m); err != nil {
		return newFault(codes.InvalidArgument, "the request body cannot be read: %s", jsonReason(err))
	}
	return nil
}

// announced is how much of a body to expect, for memory's sake.
func announced(r io.Reader) int64 {
	if body, ok := r.(*requestBody); ok {
		return min(max(body.length, 0), firstRead)
	}
	return 0
}

// unreadable says why a body could not be read to its end.
func unreadable(r io.Reader, err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		if body, ok := r.(*requestBody); ok {
			return tooLarge("the request body", body.limit)
		}
		return err
	}
	return &fault{code: codes.InvalidArgument, message: "the request body ends early", cause: err}
}

// maxReason bounds what is repeated of a caller's own JSON.
const maxReason = 200

// jsonReason is what protojson says, without its prefix, whose space it varies on purpose, and cut short: it quotes the
// whole of a value that it cannot read, which may be an archive.
func jsonReason(err error) string {
	reason := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	reason = strings.TrimPrefix(reason, "proto: ")
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "…"
	}
	return validUTF8(reason)
}

// requestBody is a body that remembers why it could not be read.
type requestBody struct {
	io.ReadCloser
	// length is what was announced; -1 for nothing.
	length int64
	// limit is how many bytes the body may have in it, before base64.
	limit int64
	err   error
}

// writeJSON answers a message.
func writeJSON(w http.ResponseWriter, m proto.Message) error {
	text, err := encoding.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %T: %w", m, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, err = w.Write(text)
	return left(err)
}

// writeError answers a fault: {"code", "message", "details"}.
func writeError(w http.ResponseWriter, f *fault) {
	text, err := errorEncoding.Marshal(f.GRPCStatus().Proto())
	if err != nil {
		text = []byte(`{"code":13,"message":"internal error","details":[]}`)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	if f.code == codes.Unauthenticated {
		header.Set("WWW-Authenticate", `Bearer realm="ignite"`)
	}
	if wait := f.retryAfter(); wait > 0 {
		header.Set("Retry-After", strconv.FormatInt(max(1, int64(wait.Seconds())), 10))
	}
	w.WriteHeader(f.httpStatus())
	_, _ = w.Write(text) // a caller who left needs no answer
}
