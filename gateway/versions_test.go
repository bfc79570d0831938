package gateway_test

import (
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/gateway"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// newApp makes an app of acme without code.
func (s *setup) newApp(t testing.TB, name string) {
	t.Helper()
	must(s.client.CreateApp(s.as(t, "acme"), &ignitev1.CreateAppRequest{OrganizationName: "acme", Name: name}))
}

func (s *setup) save(t testing.TB, name, archive string) (*ignitev1.DraftInfo, error) {
	t.Helper()
	saved, err := s.client.SaveDraft(s.as(t, "acme"), &ignitev1.SaveDraftRequest{OrganizationName: "acme", AppName: name, Code: python(archive)})
	return saved.GetDraft(), err
}

func (s *setup) compile(t testing.TB, name string) (*ignitev1.CompileDraftResponse, error) {
	t.Helper()
	return s.client.CompileDraft(s.as(t, "acme"), &ignitev1.CompileDraftRequest{OrganizationName: "acme", AppName: name})
}

func (s *setup) publishDraft(t testing.TB, name string) (*ignitev1.PublishDraftResponse, error) {
	t.Helper()
	return s.client.PublishDraft(s.as(t, "acme"), &ignitev1.PublishDraftRequest{OrganizationName: "acme", AppName: name})
}

func TestDraftFromSaveToVersion(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.newApp(t, "hello")
	_, err := s.client.GetDraftInfo(s.as(t, "acme"), &ignitev1.GetDraftInfoRequest{OrganizationName: "acme", AppName: "hello"})
	wantCode(t, err, codes.NotFound, "draft")
	_, err = s.compile(t, "hello")
	wantCode(t, err, codes.FailedPrecondition, "save one first")

	saved, err := s.save(t, "hello", "built from this")
	if err != nil || saved.GetStatus() != ignitev1.VersionStatus_VERSION_STATUS_DRAFT || len(saved.GetCodeHash()) != 64 ||
		saved.GetCodeKind() != ignitev1.CodeKind_CODE_KIND_SDK || saved.GetRuntime().GetPython() == nil {
		t.Fatalf("save answered %v, %v", saved, err)
	}
	compiled, err := s.compile(t, "hello")
	if err != nil || compiled.GetLog() != "compiled\n" || compiled.GetDraft().GetStatus() != ignitev1.VersionStatus_VERSION_STATUS_COMPILED ||
		compiled.GetDraft().GetDeployId() == "" {
		t.Fatalf("compile answered %v, %v", compiled, err)
	}
	published, err := s.publishDraft(t, "hello")
	if err != nil || published.GetVersion() != 1 || published.GetApp().GetActiveVersion() != 1 {
		t.Fatalf("publish answered %v, %v", published, err)
	}
	_, port, _ := net.SplitHostPort(s.api)
	if want := []string{"http://hello-acme.apps.test:" + port}; !reflect.DeepEqual(published.GetApp().GetPublicUrls(), want) {
		t.Errorf("public URLs are %v, want %v", published.GetApp().GetPublicUrls(), want)
	}
	code := must(s.client.GetAppCode(s.as(t, "acme"), &ignitev1.GetAppCodeRequest{OrganizationName: "acme", AppName: "hello"}))
	if string(code.GetSourceCode()) != "built from this" || code.GetVersion() != 1 || code.GetCodeHash() != saved.GetCodeHash() {
		t.Errorf("code is %v", code)
	}
	_, err = s.publishDraft(t, "hello")
	wantCode(t, err, codes.FailedPrecondition, "no draft")
}

func TestDraftThatDoesNotCompile(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.newApp(t, "hello")
	must(s.save(t, "hello", "broken code"))
	compiled, err := s.compile(t, "hello")
	if err != nil || compiled.GetDraft().GetStatus() != ignitev1.VersionStatus_VERSION_STATUS_FAILED ||
		!strings.Contains(compiled.GetDraft().GetError(), "line 1: oops") || !strings.Contains(compiled.GetLog(), "compiling") {
		t.Errorf("compile answered %v, %v", compiled, err)
	}
	_, err = s.publishDraft(t, "hello")
	wantCode(t, err, codes.FailedPrecondition, "does not compile", "oops")
}

func TestArchiveThatIsRefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := s.client.CreateApp(s.as(t, "acme"), &ignitev1.CreateAppRequest{OrganizationName: "acme", Name: "hello", Code: python("bad")})
	wantCode(t, err, codes.InvalidArgument, "code", "../evil")
	_, err = s.client.GetApp(s.as(t, "acme"), &ignitev1.GetAppRequest{OrganizationName: "acme", AppName: "hello"})
	wantCode(t, err, codes.NotFound)
	_, err = s.client.CreateApp(s.as(t, "acme"), &ignitev1.CreateAppRequest{
		OrganizationName: "acme", Name: "hello", Code: python(strings.Repeat("x", testCode+1)),
	})
	wantCode(t, err, codes.ResourceExhausted, fmt.Sprint(testCode))
}

func TestVersionsAndRollback(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx := s.as(t, "acme")
	s.newApp(t, "hello")
	_, err := s.client.RollbackApp(ctx, &ignitev1.RollbackAppRequest{OrganizationName: "acme", AppName: "hello"})
	wantCode(t, err, codes.FailedPrecondition, "never published")
	for i := range 3 {
		must(s.client.UpdateAppConfig(ctx, &ignitev1.UpdateAppConfigRequest{
			OrganizationName: "acme", AppName: "hello", Description: new(fmt.Sprintf("version %d", i+1)),
		}))
		must(s.save(t, "hello", fmt.Sprintf("code %d", i+1)))
		must(s.publishDraft(t, "hello"))
	}
	first := must(s.client.ListAppVersions(ctx, &ignitev1.ListAppVersionsRequest{OrganizationName: "acme", AppName: "hello", Limit: 2}))
	rest := must(s.client.ListAppVersions(ctx, &ignitev1.ListAppVersionsRequest{
		OrganizationName: "acme", AppName: "hello", Limit: 2, Cursor: first.GetNextCursor(),
	}))
	if got := numbers(first, rest); !reflect.DeepEqual(got, []uint32{3, 2, 1}) || rest.GetNextCursor() != "" {
		t.Errorf("versions are %v, next %q", got, rest.GetNextCursor())
	}
	old := must(s.client.GetAppVersion(ctx, &ignitev1.GetAppVersionRequest{OrganizationName: "acme", AppName: "hello", Version: 1})).GetApp()
	if old.GetDescription() != "version 1" || old.GetVersion() != 1 || old.GetActiveVersion() != 3 {
		t.Errorf("version 1 is %v", old)
	}
	back := must(s.client.RollbackApp(ctx, &ignitev1.RollbackAppRequest{OrganizationName: "acme", AppName: "hello"}))
	if back.GetApp().GetActiveVersion() != 2 {
		t.Errorf("rollback made %d active, want 2", back.GetApp().GetActiveVersion())
	}
	back = must(s.client.RollbackApp(ctx, &ignitev1.RollbackAppRequest{OrganizationName: "acme", AppName: "hello", Version: 1}))
	if back.GetApp().GetActiveVersion() != 1 {
		t.Errorf("rollback made %d active, want 1", back.GetApp().GetActiveVersion())
	}
	_, err = s.client.RollbackApp(ctx, &ignitev1.RollbackAppRequest{OrganizationName: "acme", AppName: "hello"})
	wantCode(t, err, codes.FailedPrecondition, "before 1")
	_, err = s.client.RollbackApp(ctx, &ignitev1.RollbackAppRequest{OrganizationName: "acme", AppName: "hello", Version: 9})
	wantCode(t, err, codes.NotFound, "version 9")
	code := must(s.client.GetAppCode(ctx, &ignitev1.GetAppCodeRequest{OrganizationName: "acme", AppName: "hello", Version: 3}))
	if string(code.GetSourceCode()) != "code 3" {
		t.Errorf("code of version 3 is %q", code.GetSourceCode())
	}
	_, err = s.client.ListAppVersions(ctx, &ignitev1.ListAppVersionsRequest{OrganizationName: "acme", AppName: "hello", Cursor: "x"})
	wantCode(t, err, codes.InvalidArgument, "cursor")
}

func numbers(pages ...*ignitev1.ListAppVersionsResponse) []uint32 {
	var all []uint32
	for _, page := range pages {
		for _, version := range page.GetVersions() {
			all = append(all, version.GetVersion())
		}
	}
	return all
}

func TestPublicURLs(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *gateway.Config) { c.PublicScheme, c.PublicPort = "https", 443 })
	must(s.client.CreateApp(s.as(t, "acme"), &ignitev1.CreateAppRequest{
		OrganizationName: "acme", Name: "my.app", Ports: []uint32{9000, 80}, Code: python("x"),
	}))
	published := must(s.publishDraft(t, "my.app"))
	want := []string{"https://my-dot-app-acme-9000.apps.test", "https://my-dot-app-acme.apps.test"}
	if got := published.GetApp().GetPublicUrls(); !reflect.DeepEqual(got, want) {
		t.Errorf("public URLs are %v, want %v", got, want)
	}
	// The label of this app is the same, and names nobody else's app in the error.
	must(s.client.CreateApp(s.as(t, "app-acme"), &ignitev1.CreateAppRequest{OrganizationName: "app-acme", Name: "my-dot", Code: python("x")}))
	_, err := s.client.PublishDraft(s.as(t, "app-acme"), &ignitev1.PublishDraftRequest{OrganizationName: "app-acme", AppName: "my-dot"})
	wantCode(t, err, codes.AlreadyExists, "my-dot-app-acme")
	// With its port the label of this one is longer than DNS allows, without it is not.
	long := strings.Repeat("x", 58)
	must(s.client.CreateApp(s.as(t, "acme"), &ignitev1.CreateAppRequest{
		OrganizationName: "acme", Name: long, Ports: []uint32{9000, 80}, Code: python("x"),
	}))
	want = []string{"https://" + long + "-acme.apps.test"}
	if got := must(s.publishDraft(t, long)).GetApp().GetPublicUrls(); !reflect.DeepEqual(got, want) {
		t.Errorf("public URLs are %v, want %v", got, want)
	}
	if _, port, ok := s.store.Host(long + "-acme"); port != 80 || !ok {
		t.Errorf("the label leads to port %d (%v)", port, ok)
	}
}
