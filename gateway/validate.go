package gateway

import (
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/protoadapt"
)

// violations collects what is wrong with a request, so that a caller hears of all of it at once.
type violations struct {
	fields []*errdetails.BadRequest_FieldViolation
}

func (v *violations) add(field, format string, args ...any) {
	v.fields = append(v.fields, &errdetails.BadRequest_FieldViolation{Field: field, Description: validUTF8(fmt.Sprintf(format, args...))})
}

// within adds a violation unless value is 0 or between low and high.
func (v *violations) within(field string, value, low, high uint32) {
	if value != 0 && (value < low || value > high) {
		v.add(field, "must be 0 for the default, or %d to %d", low, high)
	}
}

// longest adds a violation if text has more than limit bytes.
func (v *violations) longest(field, text string, limit int) {
	if len(text) > limit {
		v.add(field, "must be at most %d bytes", limit)
	}
}

// err is nil if nothing was added.
func (v *violations) err() error {
	if len(v.fields) == 0 {
		return nil
	}
	words := make([]string, len(v.fields))
	for i, field := range v.fields {
		words[i] = field.GetField() + " " + field.GetDescription()
	}
	return &fault{
		code:    codes.InvalidArgument,
		message: strings.Join(words, "; "),
		details: []protoadapt.MessageV1{&errdetails.BadRequest{FieldViolations: v.fields}},
	}
}

// badField is one violation as an error.
func badField(field, format string, args ...any) error {
	var v violations
	v.add(field, format, args...)
	return v.err()
}

// enum adds a violation if value is a number that its enum does not know.
func (v *violations) enum(field string, value int32, names map[int32]string) {
	if _, known := names[value]; !known {
		v.add(field, "has no value %d", value)
	}
}
