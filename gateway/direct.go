package gateway

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// serveDirect answers a call of an app by its host name: plain HTTP to the pod and back, without a record. Who may invoke
// the app may call it so.
//
// All ports of an app lead to the one port that its pod serves.
func (g *Gateway) serveDirect(w http.ResponseWriter, r *http.Request, label string) {
	const method = ignitev1.ComputeService_Invoke_FullMethodName
	p := &passage{w: w, r: r, proxy: g.proxy}
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		ref, err := g.service.appOfHost(callerOf(ctx), label)
		if err != nil {
			return err
		}
		if r.ContentLength > g.service.cfg.MaxPayloadBytes {
			return tooLarge("the request body", g.service.cfg.MaxPayloadBytes)
		}
		return g.service.direct(ctx, ref, p)
	})
	if p.aborted {
		panic(http.ErrAbortHandler)
	}
	answerError(w, err, p.begun)
}

// appOfHost answers the app that owns a host and that the caller may invoke.
func (s *service) appOfHost(c caller, label string) (store.AppRef, error) {
	ref, _, ok := s.cfg.Store.Host(label)
	if !ok {
		return store.AppRef{}, newFault(codes.NotFound, "no app is published as %.128s.%s", label, s.cfg.BaseDomain)
	}
	return ref, c.MayInvoke(ref.Org)
}

// direct finds a pod and lets the request pass to it.
func (s *service) direct(ctx context.Context, ref store.AppRef, p *passage) error {
	app, err := s.cfg.Store.App(ctx, ref)
	if err != nil {
		return noApp(ref, err)
	}
	org := homeOf(callerOf(ctx), ref.Org)
	p.identity = newIdentity(callerOf(ctx), org, ref)
	p.timeout = timeoutOf(app.Config)
	p.limit = s.cfg.MaxPayloadBytes
	err = s.cfg.Dispatcher.Do(ctx, ref, 0, func(t pod.Target) error { return p.through(ctx, t) })
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && cause != nil {
		err = errors.Join(cause, err)
	}
	return appFailure(ctx, ref, err)
}
