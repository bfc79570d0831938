package main

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func TestImagesAreSources(t *testing.T) {
	t.Parallel()
	want := &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Image{Image: &ignitev1.ImageSource{
		Source: &ignitev1.ImageSource_Prebuilt{Prebuilt: &ignitev1.PrebuiltImage{ImageRef: "registry.example/team/web:1"}},
	}}}
	server := startServer(t)
	sh := newShell(t, server)
	sh.run("draft", "save", "acme:hello", "--image", "registry.example/team/web:1")
	sh.run("app", "create", "acme:hello", "--image", "registry.example/team/web:1")
	server.on("GetApp", &ignitev1.GetAppResponse{App: &ignitev1.AppMeta{}})
	sh.run("app", "deploy", "--image", "registry.example/team/web:1", "--name", "acme:hello")
	asked := server.asked()
	wantRequests(t, []proto.Message{asked[0], asked[1], asked[3]},
		&ignitev1.SaveDraftRequest{OrganizationName: "acme", AppName: "hello", Code: want},
		&ignitev1.CreateAppRequest{OrganizationName: "acme", Name: "hello", Code: want},
		&ignitev1.SaveDraftRequest{OrganizationName: "acme", AppName: "hello", Code: want})
}

func TestDockerfileIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web.Dockerfile"), []byte("FROM scratch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := (&sourceFlags{code: dir, dockerfile: "web.Dockerfile"}).read(new(client))
	if err != nil || source.GetImage().GetFromCode().GetDockerfilePath() != "web.Dockerfile" {
		t.Errorf("got %v, %v", source, err)
	}
	for _, flags := range []sourceFlags{
		{code: dir, dockerfile: "web.Dockerfile", runtime: "python"},
		{code: dir, image: "web"},
		{image: "web", runtime: "procfile"},
		{image: "web", dockerfile: "web.Dockerfile"},
	} {
		if source, err := flags.read(new(client)); exitCode(err) != exitUsage {
			t.Errorf("%+v gives %v, %v", flags, source, err)
		}
	}
}
