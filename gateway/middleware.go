package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"dodil.io/ignite/gateway/auth"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// requestIDHeader carries a caller's own name for a call in, and the name that the log uses out.
const requestIDHeader = "X-Request-Id"

// caller is who makes a call. The token is kept to be recognised and taken out of what goes to a pod.
type caller struct {
	auth.Principal
	token string
}

type (
	callerKey    struct{}
	requestIDKey struct{}
)

// callerOf answers whom guard let in; the zero caller on methods that are open.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// guard stands before every call on every surface: it names it, logs it, survives its panics, asks who
// calls and whether they may, and turns its error into what a caller is to see.
type guard struct {
	verifier auth.Verifier
	log      *slog.Logger
}

// run makes one call of method, a full gRPC name; authorization is the header of that name. The error is a *fault.
func (g *guard) run(ctx context.Context, method, authorization string, call func(context.Context) error) (err error) {
	ctx = withRequestID(ctx, "")
	begin := time.Now()
	defer func() {
		if p := recover(); p != nil {
			err = g.panicked(ctx, method, p)
		}
		err = g.settle(ctx, method, begin, err)
	}()
	ctx, err = g.enter(ctx, method, authorization)
	if err != nil {
		return err
	}
	return call(ctx)
}

// enter says who calls, and that they may call method.
func (g *guard) enter(ctx context.Context, method, authorization string) (context.Context, error) {
	if auth.IsOpen(method) {
		return ctx, nil
	}
	ctx, err := g.authenticate(ctx, authorization)
	if err != nil {
		return ctx, err
	}
	return ctx, auth.Authorize(callerOf(ctx).Principal, method)
}

// authenticate keeps the caller in ctx; a caller that is there already is not asked twice.
func (g *guard) authenticate(ctx context.Context, authorization string) (context.Context, error) {
	if _, known := ctx.Value(callerKey{}).(caller); known {
		return ctx, nil
	}
	token, ok := auth.BearerFromHeader(authorization)
	if !ok {
		return ctx, auth.ErrUnauthenticated
	}
	principal, err := g.verifier.Verify(ctx, token)
	if err != nil {
		return ctx, err
	}
	return context.WithValue(ctx, callerKey{}, caller{Principal: principal, token: token}), nil
}

// invokes reports whether method calls an app, which callers of other organizations may do with public ones.
func invokes(method string) bool {
	switch method {
	case ignitev1.ComputeService_Invoke_FullMethodName, ignitev1.ComputeService_InvokeAsync_FullMethodName,
		ignitev1.ComputeService_InvokeAsyncBatch_FullMethodName:
		return true
	default:
		return false
	}
}

// admit checks the names in request, and that the caller may touch its organization by method. A list of executions does both by
// itself: its names may be left out, and its app may be another organization's.
func (g *guard) admit(ctx context.Context, method string, request any) error {
	message, ok := request.(orgMessage)
	if _, list := request.(*ignitev1.ListExecutionsRequest); list || !ok {
		return nil
	}
	if err := checkNames(request); err != nil {
		return err
	}
	if invokes(method) {
		return callerOf(ctx).MayInvoke(message.GetOrganizationName())
	}
	return callerOf(ctx).In(message.GetOrganizationName())
}

// settle logs a call and answers its error as a *fault.
func (g *guard) settle(ctx context.Context, method string, begin time.Time, err error) error {
	code := codes.OK
	if err != nil {
		f := g.fault(ctx, method, err)
		code, err = f.code, f
	}
	if g.log.Enabled(ctx, slog.LevelDebug) {
		g.log.LogAttrs(ctx, slog.LevelDebug, "call", slog.String("method", method), slog.String("request", requestID(ctx)),
			slog.String("code", code.String()), slog.Duration("took", time.Since(begin)))
	}
	return err
}

func (g *guard) fault(ctx context.Context, method string, err error) *fault {
	return told(ctx, g.log, method, err)
}

// told is faultOf, and logs what is of no known kind under the name that the caller gets.
func told(ctx context.Context, log *slog.Logger, method string, err error) *fault {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		err = errors.Join(cause, err)
	}
	f, known := faultOf(err)
	if known {
		return f
	}
	log.LogAttrs(ctx, slog.LevelError, "call failed", slog.String("method", method),
		slog.String("request", requestID(ctx)), slog.String("error", err.Error()))
	f.message = "internal error: the log has it under request " + requestID(ctx)
	return f
}

// panicked logs a panic and answers it as an error that says nothing to the caller.
func (g *guard) panicked(ctx context.Context, method string, p any) error {
	g.log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("method", method),
		slog.String("request", requestID(ctx)), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	return fmt.Errorf("panic in %s", method)
}

// requestIDPattern is what a caller may choose as the name of a call.
var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID keeps the name that ctx has, or takes wish if it will do, or makes one.
func withRequestID(ctx context.Context, wish string) context.Context {
	if requestID(ctx) != "" {
		return ctx
	}
	if !requestIDPattern.MatchString(wish) {
		wish = rand.Text()
	}
	return context.WithValue(ctx, requestIDKey{}, wish)
}

// unary is guard as an interceptor.
func (g *guard) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	ctx, authorization := incoming(ctx)
	err = g.run(ctx, info.FullMethod, authorization, func(ctx context.Context) error {
		if err := g.admit(ctx, info.FullMethod, request); err != nil {
			return err
		}
		answer, err = handler(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// stream is guard as an interceptor; the request is looked at when the handler receives it.
func (g *guard) stream(server any, s grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, authorization := incoming(s.Context())
	return g.run(ctx, info.FullMethod, authorization, func(ctx context.Context) error {
		return handler(server, &guardedStream{ServerStream: s, ctx: ctx, guard: g, method: info.FullMethod})
	})
}

// guardedStream carries the caller, and admits what it receives.
type guardedStream struct {
	grpc.ServerStream
	ctx    context.Context //nolint:containedctx // a ServerStream is asked for its context
	guard  *guard
	method string
}

func (s *guardedStream) Context() context.Context { return s.ctx }

func (s *guardedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.guard.admit(s.ctx, s.method, m)
}

// incoming names a gRPC call, tells the caller the name, and answers the authorization that came with it.
func incoming(ctx context.Context) (named context.Context, authorization string) {
	if requestID(ctx) == "" {
		ctx = withRequestID(ctx, metadataValue(ctx, "x-request-id"))
		// It fails only where there is no transport to tell, and then nobody is to be told.
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-request-id", requestID(ctx)))
	}
	return ctx, metadataValue(ctx, "authorization")
}

func metadataValue(ctx context.Context, key string) string {
	if values := metadata.ValueFromIncomingContext(ctx, key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// outermost names HTTP requests. A panic that nobody below it turned into an answer may have left half of one: the connection
// is cut, which is the one way to say so.
func (g *guard) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := withRequestID(r.Context(), r.Header.Get(requestIDHeader))
		defer func() {
			if p := recover(); p != nil {
				g.cut(ctx, r.URL.Path, p)
			}
		}()
		w.Header().Set(requestIDHeader, requestID(ctx))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (g *guard) cut(ctx context.Context, path string, p any) {
	if p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
		_ = g.panicked(ctx, path, p)
	}
	panic(http.ErrAbortHandler)
}

// bodiesNeedToken refuses a body from somebody unknown before it is read; no open method has one.
func (g *guard) bodiesNeedToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		ctx, err := g.authenticate(r.Context(), r.Header.Get("Authorization"))
		if err != nil {
			writeError(w, g.fault(ctx, r.URL.Path, err))
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
