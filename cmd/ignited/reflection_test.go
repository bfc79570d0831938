package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jhump/protoreflect/v2/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// reflectionClient knows of the server only what its reflection service tells: no generated code is used, as
// with any gRPC tool of a user.
type reflectionClient struct {
	conn    *grpc.ClientConn
	service protoreflect.ServiceDescriptor
	token   string
}

func dialByReflection(t *testing.T, addr, token string) *reflectionClient {
	t.Helper()
	const largest = 256 << 20
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largest), grpc.MaxCallSendMsgSize(largest)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	reflection := grpcreflect.NewClientAuto(t.Context(), conn)
	defer reflection.Reset()
	file, err := reflection.FileContainingSymbol("dodil.ignite.v1.ComputeService")
	if err != nil {
		t.Fatalf("ask reflection for the service: %v", err)
	}
	service := file.Services().ByName("ComputeService")
	if service == nil {
		t.Fatal("reflection has no ComputeService")
	}
	return &reflectionClient{conn: conn, service: service, token: token}
}

func (c *reflectionClient) authorized(ctx context.Context) context.Context {
	if c.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
}

func (c *reflectionClient) method(name string) (string, protoreflect.MethodDescriptor) {
	method := c.service.Methods().ByName(protoreflect.Name(name))
	return fmt.Sprintf("/%s/%s", c.service.FullName(), name), method
}

// call sends a JSON request to a unary method and answers the response.
func (c *reflectionClient) call(ctx context.Context, name, request string) (*dynamicpb.Message, error) {
	path, method := c.method(name)
	in, out := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	if err := protojson.Unmarshal([]byte(request), in); err != nil {
		return nil, err
	}
	return out, c.conn.Invoke(c.authorized(ctx), path, in, out)
}

// stream sends a JSON request to a server-streaming method and hands each frame to each; it answers how the stream ended.
func (c *reflectionClient) stream(ctx context.Context, name, request string, each func(*dynamicpb.Message) error) error {
	path, method := c.method(name)
	in := dynamicpb.NewMessage(method.Input())
	if err := protojson.Unmarshal([]byte(request), in); err != nil {
		return err
	}
	stream, err := c.conn.NewStream(c.authorized(ctx), &grpc.StreamDesc{ServerStreams: true}, path)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(in); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		frame := dynamicpb.NewMessage(method.Output())
		if err := stream.RecvMsg(frame); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := each(frame); err != nil {
			return err
		}
	}
}

// field follows names into a message: field(m, "execution", "status").
func field(m protoreflect.Message, names ...string) protoreflect.Value {
	for i, name := range names {
		value := m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
		if i == len(names)-1 {
			return value
		}
		m = value.Message()
	}
	return protoreflect.Value{}
}

// has reports whether a message field or a member of a oneof is set.
func has(m protoreflect.Message, name string) bool {
	return m.Has(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

// enumName answers the wire name of an enum field.
func enumName(m protoreflect.Message, names ...string) string {
	for _, name := range names[:len(names)-1] {
		m = m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name))).Message()
	}
	descriptor := m.Descriptor().Fields().ByName(protoreflect.Name(names[len(names)-1]))
	return string(descriptor.Enum().Values().ByNumber(m.Get(descriptor).Enum()).Name())
}
