package fault

import (
	"context"
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// patience is the deadline of a caller. An answer that does not come in that time is a hang.
const patience = 15 * time.Second

// longest is for the largest message that is sent or read here.
const longest = 64 << 20

// Client speaks to one ignited through the public API, as a program of somebody else would.
type Client struct {
	conn *grpc.ClientConn
	api  ignitev1.ComputeServiceClient
	base string // of HTTP
	// token of organization fault, all scopes
	token string
}

// dial connects with the first call, and again soon after the server was away.
func dial(address, http, token string) (*Client, error) {
	soon := backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon, MinConnectTimeout: 2 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(longest), grpc.MaxCallSendMsgSize(longest)))
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn, api: ignitev1.NewComputeServiceClient(conn), base: "http://" + http, token: token}, nil
}

func (c *Client) close() { _ = c.conn.Close() }

// call is a context for one call of the API.
func (c *Client) call(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token), limit)
}

// Submit calls InvokeAsync and answers the id.
func (c *Client) Submit(ctx context.Context, r *ignitev1.InvokeRequest) (id string, err error) {
	ctx, cancel := c.call(ctx, patience)
	defer cancel()
	answer, err := c.api.InvokeAsync(ctx, r)
	return answer.GetExecutionId(), err
}

// Cancel calls CancelExecution.
func (c *Client) Cancel(ctx context.Context, id string) error {
	ctx, cancel := c.call(ctx, patience)
	defer cancel()
	_, err := c.api.CancelExecution(ctx, &ignitev1.CancelExecutionRequest{ExecutionId: id, Reason: "not needed any more"})
	return err
}

// Redrive calls RedriveExecution and answers the new id.
func (c *Client) Redrive(ctx context.Context, id string) (next string, err error) {
	ctx, cancel := c.call(ctx, patience)
	defer cancel()
	answer, err := c.api.RedriveExecution(ctx, &ignitev1.RedriveExecutionRequest{ExecutionId: id})
	return answer.GetExecutionId(), err
}

// Get calls GetExecution, which waits a while for a change from the record that etag names.
func (c *Client) Get(ctx context.Context, id string, wait time.Duration, etag string) (*ignitev1.Execution, string, error) {
	ctx, cancel := c.call(ctx, patience+wait)
	defer cancel()
	answer, err := c.api.GetExecution(ctx, &ignitev1.GetExecutionRequest{ExecutionId: id, Wait: durationpb.New(wait), Etag: etag})
	return answer.GetExecution(), answer.GetEtag(), err
}

// Await reads id until it has ended, through whatever happens to the server meanwhile.
func (c *Client) Await(ctx context.Context, id string) (e *ignitev1.Execution, etag string, err error) {
	for {
		e, etag, err = c.Get(ctx, id, 10*time.Second, etag)
		if err == nil && terminal(e.GetStatus()) {
			return e, etag, nil
		}
		if code := status.Code(err); code == codes.NotFound || ctx.Err() != nil {
			return e, etag, errors.Join(err, ctx.Err())
		}
		if err != nil {
			etag = ""
			pause(ctx)
		}
	}
}

func terminal(s ignitev1.ExecutionStatus) bool {
	return s != ignitev1.ExecutionStatus_EXECUTION_STATUS_PENDING && s != ignitev1.ExecutionStatus_EXECUTION_STATUS_RUNNING &&
		s != ignitev1.ExecutionStatus_EXECUTION_STATUS_UNSPECIFIED
}

// pause is for callers who were refused and try again: a server that is away answers at once.
func pause(ctx context.Context) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
	}
}

// hint is when an error says to try again, 0 if it does not say.
func hint(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func (c *Client) deploy(ctx context.Context, app string, archive []byte, env map[string]string) error {
	return c.create(ctx, &ignitev1.CreateAppRequest{OrganizationName: organization, Name: app, Env: env, Code: procfile(archive)})
}

func procfile(archive []byte) *ignitev1.CodeSource {
	return &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Image{Image: &ignitev1.ImageSource{
		Source: &ignitev1.ImageSource_FromCode{FromCode: &ignitev1.CodeArchive{SourceCode: archive}}}}}
}

// create makes an app and publishes its code.
func (c *Client) create(ctx context.Context, r *ignitev1.CreateAppRequest) error {
	ctx, cancel := c.call(ctx, time.Minute)
	defer cancel()
	if _, err := c.api.CreateApp(ctx, r); err != nil {
		return err
	}
	_, err := c.api.PublishDraft(ctx, &ignitev1.PublishDraftRequest{OrganizationName: organization, AppName: r.GetName()})
	return err
}

// publish makes archive the version that serves.
func (c *Client) publish(ctx context.Context, app string, archive []byte) error {
	ctx, cancel := c.call(ctx, time.Minute)
	defer cancel()
	if _, err := c.api.SaveDraft(ctx, &ignitev1.SaveDraftRequest{OrganizationName: organization, AppName: app, Code: procfile(archive)}); err != nil {
		return err
	}
	_, err := c.api.PublishDraft(ctx, &ignitev1.PublishDraftRequest{OrganizationName: organization, AppName: app})
	return err
}

// rollback makes an earlier version the one that serves.
func (c *Client) rollback(ctx context.Context, app string, version uint32) error {
	ctx, cancel := c.call(ctx, patience)
	defer cancel()
	_, err := c.api.RollbackApp(ctx, &ignitev1.RollbackAppRequest{OrganizationName: organization, AppName: app, Version: version})
	return err
}

// scale replaces how many pods the app has.
func (c *Client) scale(ctx context.Context, app string, scaling *ignitev1.ScalingConfig) error {
	ctx, cancel := c.call(ctx, patience)
	defer cancel()
	_, err := c.api.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{OrganizationName: organization, AppName: app, Scaling: scaling})
	return err
}

// state tells what runs of the app.
func (c *Client) state(ctx context.Context, app string) (*ignitev1.GetAppStateResponse, error) {
	ctx, cancel := c.call(ctx, patience)
	defer cancel()
	return c.api.GetAppState(ctx, &ignitev1.GetAppStateRequest{OrganizationName: organization, AppName: app})
}
