package gateway

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// inProcess is a grpc.ClientConnInterface that calls the service in this process, through the same interceptor as calls from
// outside: no socket, no encoding. It serves the HTTP API, whose streaming methods have handlers of their own.
type inProcess struct {
	service     *service
	interceptor grpc.UnaryServerInterceptor
	methods     map[string]grpc.MethodDesc
}

func newInProcess(s *service, interceptor grpc.UnaryServerInterceptor) *inProcess {
	p := &inProcess{service: s, interceptor: interceptor, methods: map[string]grpc.MethodDesc{}}
	description := ignitev1.ComputeService_ServiceDesc
	for _, method := range description.Methods {
		p.methods["/"+description.ServiceName+"/"+method.MethodName] = method
	}
	return p
}

// Invoke calls a unary method. Requests and answers are shared and not copied, so neither side may change them afterwards.
func (p *inProcess) Invoke(ctx context.Context, method string, request, answer any, _ ...grpc.CallOption) error {
	description, ok := p.methods[method]
	if !ok {
		return newFault(codes.Unimplemented, "there is no method %s", method)
	}
	md, _ := metadata.FromOutgoingContext(ctx)
	ctx = metadata.NewIncomingContext(ctx, md)
	decode := func(into any) error { return share(into, request) }
	got, err := description.Handler(p.service, ctx, decode, p.interceptor)
	if err != nil {
		return err
	}
	return share(answer, got)
}

// NewStream is never asked for: rest.go answers the streaming routes before grpc-gateway sees them.
func (p *inProcess) NewStream(_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, newFault(codes.Unimplemented, "%s is not called in process", method)
}

// share makes into a shallow copy of from.
func share(into, from any) error {
	target, ok := into.(proto.Message)
	source, ok2 := from.(proto.Message)
	if !ok || !ok2 {
		return fmt.Errorf("share %T as %T: not messages", from, into)
	}
	reflected := target.ProtoReflect()
	source.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		reflected.Set(field, value)
		return true
	})
	return nil
}
