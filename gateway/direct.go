package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/gateway/auth"
	"dodil.io/ignite/gateway/proxy"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// directMethod is what a direct call is to the table of scopes: who may invoke an app may call it so.
const directMethod = ignitev1.ComputeService_Invoke_FullMethodName

// visit is one call of an app by its host name: plain HTTP to the pod and back, without a record.
//
//	host ─► app and port ─► preflight? ─► who calls, may they? ─► Dispatcher ─► proxy ─► pod
//
// No context, header or request is copied on the way, since this is the surface for those who count microseconds.
type visit struct {
	gateway *Gateway
	w       http.ResponseWriter
	r       *http.Request

	app    store.App
	port   uint32
	caller caller
	// credentials are the app's business: the caller's Authorization header that is no token of ours.
	credentials bool
	id          pod.Identity
	call        proxy.Call
	// sought says that a pod was looked for, so that the call counts for the app.
	sought bool
}

func (g *Gateway) serveDirect(w http.ResponseWriter, r *http.Request, label string) {
	v := &visit{gateway: g, w: w, r: r}
	begin := time.Now()
	defer func() {
		if p := recover(); p != nil {
			g.guard.cut(withRequestID(r.Context(), v.name()), r.URL.Path, p)
		}
	}()
	err := v.serve(label)
	v.settle(begin, err)
}

// serve answers the call, or says why there is no answer.
func (v *visit) serve(label string) error {
	known := v.find(label)
	if known && v.preflight() {
		return nil
	}
	if err := v.enter(); err != nil {
		return err
	}
	if !known {
		return newFault(codes.NotFound, "no app is published as %.128s.%s", label, v.gateway.service.cfg.BaseDomain)
	}
	if v.r.Method == http.MethodConnect {
		return newFault(codes.Unimplemented, "CONNECT asks for a tunnel, and there is none")
	}
	return v.dispatch()
}

// find looks up who owns the host.
func (v *visit) find(label string) (known bool) {
	ref, port, ok := v.gateway.service.cfg.Store.Host(label)
	if !ok {
		return false
	}
	app, err := v.gateway.service.cfg.Store.App(v.r.Context(), ref)
	v.app, v.port = app, port
	return err == nil // it is gone since
}

// enter says who calls and that they may. Of an open app everybody may, and who comes with a token of ours is still known.
func (v *visit) enter() error {
	authorization := v.r.Header["Authorization"]
	open := v.app.AllowUnauthenticated
	if open && len(authorization) == 0 {
		return nil
	}
	token, ok := "", false
	if len(authorization) == 1 {
		token, ok = auth.BearerFromHeader(authorization[0])
	}
	if !ok {
		v.credentials = open
		return unless(open, auth.ErrUnauthenticated)
	}
	principal, err := v.gateway.guard.verifier.Verify(v.r.Context(), token)
	if open && errors.Is(err, auth.ErrUnauthenticated) && !errors.Is(err, auth.ErrExpired) {
		v.credentials = true
		return nil
	}
	if err != nil {
		return err
	}
	v.caller = caller{Principal: principal, token: token}
	if open {
		return nil
	}
	if err := auth.Authorize(principal, directMethod); err != nil || v.app.Org == "" {
		return err
	}
	return principal.MayInvoke(v.app.Org)
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

// dispatch finds a pod and lets the request pass to it.
func (v *visit) dispatch() error {
	v.sought = true
	v.id = newIdentity(v.caller, homeOf(v.caller, v.app.Org), v.app.AppRef)
	v.call = proxy.Call{Timeout: timeoutOf(v.app.Config), Drop: v.drops, Answer: v.openToPages, Set: []proxy.Field{
		{Name: pod.HeaderExecutionID, Value: v.id.ExecutionID},
		{Name: pod.HeaderFunctionID, Value: v.id.FunctionID},
		{Name: pod.HeaderOrganizationID, Value: v.id.OrganizationID},
		{Name: pod.HeaderAttempt, Value: "1"},
	}}
	return v.gateway.service.cfg.Dispatcher.Do(v.r.Context(), v.app.AppRef, 0, v.through)
}

// through passes the request to t and the answer back. Only if nothing was sent the error is a pod.ErrUnreachable.
func (v *visit) through(t pod.Target) error {
	addr := addrOf(t, v.port)
	if addr == nil {
		f := newFault(codes.Unavailable, "version %d of app %s does not serve port %d: publish one that declares it, or call another port",
			t.Version, v.app.AppRef, v.port)
		f.http = http.StatusBadGateway
		return f
	}
	v.call.Host, v.call.Gone = addr.Host, t.OutOfService
	err := v.gateway.proxy.Serve(v.w, v.r, &v.call)
	if err == nil {
		return nil
	}
	return v.failure(t, err)
}

// addrOf is where t serves port; nil if it does not. A target that knows no ports serves all of them in one place.
func addrOf(t pod.Target, port uint32) *url.URL {
	if t.AddrOf == nil {
		return t.Addr
	}
	return t.AddrOf(port)
}

// failure says what an error of the proxy means.
func (v *visit) failure(t pod.Target, err error) error {
	if dial, ok := errors.AsType[*proxy.DialError](err); ok {
		return fmt.Errorf("pod %s: %w: %w", t.Pod, pod.ErrUnreachable, dial.Err)
	}
	if caller, ok := errors.AsType[*proxy.CallerError](err); ok {
		return left(caller)
	}
	if errors.Is(err, proxy.ErrTimeout) {
		return &pod.TimeoutError{Clock: pod.ClockTotal, Limit: v.call.Timeout}
	}
	if cause := context.Cause(v.r.Context()); cause != nil && errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("pod %s: %w: %w", t.Pod, pod.ErrBroken, err)
}

// ownHeaders are those that a pod may trust, because no caller's of these names comes through.
var ownHeaders = []string{pod.HeaderExecutionID, pod.HeaderFunctionID, pod.HeaderOrganizationID, pod.HeaderAttempt}

// drops takes out the token, and what a caller sent under our names, spelled with underscores too, because many servers hand a program
// both under one name.
func (v *visit) drops(name string) bool {
	const prefix = "X-Ignite-"
	if len(name) < len(prefix) || name[0] != 'X' && name[0] != 'x' {
		return name == "Authorization" && !v.credentials
	}
	plain := strings.ReplaceAll(name, "_", "-")
	return slices.ContainsFunc(ownHeaders, func(own string) bool { return strings.EqualFold(own, plain) })
}

// name is what the log calls the visit: as the caller wishes, or as the pod knows it.
func (v *visit) name() string {
	if wish := v.r.Header.Get(requestIDHeader); requestIDPattern.MatchString(wish) {
		return wish
	}
	return v.id.ExecutionID
}

// settle counts and logs the call, and answers its error. An answer that broke off is cut, which is the one way to say so.
func (v *visit) settle(begin time.Time, err error) {
	g := v.gateway
	if err == nil && !g.guard.log.Enabled(v.r.Context(), slog.LevelDebug) {
		g.tally.count(v, v.call.Status)
		return
	}
	ctx := withRequestID(v.r.Context(), v.name())
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		err = errors.Join(cause, err)
	}
	err = g.guard.settle(ctx, directMethod, begin, appFailure(context.WithValue(ctx, callerKey{}, v.caller), v.app.AppRef, err))
	f, failed := errors.AsType[*fault](err)
	if !failed {
		g.tally.count(v, v.call.Status)
		return
	}
	g.tally.count(v, f.httpStatus())
	if v.call.Status != 0 {
		panic(http.ErrAbortHandler)
	}
	v.openToPages(f.httpStatus(), v.w.Header())
	if proxy.IsGRPC(v.r) {
		writeGRPCError(v.w, f)
		return
	}
	writeError(v.w, f)
}
