package engine

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"time"

	"dodil.io/ignite/engine/pod"
)

// call runs the request in a pod. An error says that the execution did not end: it is to be handed back.
func (a *attempt) call(ctx context.Context) (outcome, error) {
	request, err := a.request(ctx)
	if err != nil {
		return a.ended(ctx, outcome{}, err)
	}
	var o outcome
	err = a.dispatch.do(ctx, a.held.App, queued, func(g grant) error {
		a.at.move(placed)
		a.reached(PodChosen)
		o = outcome{version: g.on.version, waited: g.waited, cold: g.cold}
		began := time.Now()
		err := a.exchange(ctx, g.target(), request, &o)
		o.ran = time.Since(began)
		return explain(g, err)
	})
	return a.ended(ctx, o, err)
}

// request reads the job into the call that a pod is to see.
func (a *attempt) request(ctx context.Context) (pod.Request, error) {
	head, err := pod.DecodeHead(a.job.Request)
	if err != nil {
		return pod.Request{}, err
	}
	body := a.job.Body
	if head.Object != "" {
		if err := a.at.makeRoom(ctx, cmp.Or(head.ObjectSize, usualObject)); err != nil {
			return pod.Request{}, err
		}
		if body, err = a.store.Payload(ctx, head.Object); err != nil {
			return pod.Request{}, fmt.Errorf("read the request's body: %w", err)
		}
		a.body = body
	}
	app, err := a.dispatch.app(ctx, a.held.App)
	if err != nil {
		return pod.Request{}, err
	}
	if a.held.Incarnation != "" && a.held.Incarnation != app.Incarnation {
		return pod.Request{}, fmt.Errorf("%w: another of its name was created since", pod.ErrAppGone)
	}
	head.Identity.Attempt = a.held.Attempt
	return pod.Request{
		Envelope:      head.Envelope,
		Identity:      head.Identity,
		Body:          bytes.NewReader(body),
		ContentLength: int64(len(body)),
		Clocks:        pod.Clocks{Total: timeoutOf(app.Config)},
	}, nil
}

// exchange sends the request and reads the whole answer into o, as much of it as there is.
func (a *attempt) exchange(ctx context.Context, t pod.Target, r pod.Request, o *outcome) error {
	response, err := a.client.Do(ctx, t, r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // read to its end, or of no more interest
	a.reached(AnswerBegun)
	a.expires = time.Now().Add(r.Clocks.Total + a.store.Retention() + outputSlack)
	if err := a.read(ctx, response, o); err != nil {
		return err
	}
	a.reached(AnswerRead)
	return nil
}

// ended makes an outcome of what a call came to. What fails because calls are cut has not failed.
func (a *attempt) ended(ctx context.Context, o outcome, err error) (outcome, error) {
	switch {
	case err == nil:
		return o.answered(), nil
	case ctx.Err() != nil:
		return outcome{}, context.Cause(ctx)
	case handsBack(err):
		return outcome{}, err
	}
	return o.failedWith(err), nil
}
