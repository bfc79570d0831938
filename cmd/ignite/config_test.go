package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func TestConfigSetAndView(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	secret := "0123456789abcdefghijklmnopqrstuvwxyz"
	sh := newShell(t, nil)
	sh.env = map[string]string{"IGNITE_CONFIG_DIR": dir, "IGNITE_ORG_NAME": "from-env"}
	sh.stdin = strings.NewReader(secret + "\n")
	sh.succeeds("config", "set", "token", "-")
	sh.succeeds("config", "set", "api_endpoint", "rpc.example.com:443")
	sh.succeeds("config", "set", "org", "acme")
	sh.succeeds("config", "set", "org_id", "o1")
	sh.succeeds("config", "set", "org_id", "")

	path := filepath.Join(dir, configName)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, string(content), "token: "+secret+"\napi_endpoint: rpc.example.com:443\norg: acme\n")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the mode of the file is %o", info.Mode())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}

	wantText(t, sh.succeeds("config", "view").stdout, strings.ReplaceAll(`KEY            VALUE                 SOURCE
token          ****wxyz              FILE
api_endpoint   rpc.example.com:443   FILE
org            from-env              IGNITE_ORG_NAME
`, "FILE", path))
	for _, format := range outputFormats {
		if out := sh.succeeds("config", "view", "-o", format).stdout; strings.Contains(out, secret[:20]) {
			t.Errorf("-o %s shows the token:\n%s", format, out)
		}
	}
	wantContains(t, sh.succeeds("config", "view", "-o", "json").stdout, `"source": "IGNITE_ORG_NAME"`)
}

func TestConfigFolder(t *testing.T) {
	t.Parallel()
	env := map[string]string{"HOME": "/home/ada"}
	c := &client{getenv: func(name string) string { return env[name] }}
	for _, step := range []struct{ variable, value, want string }{
		{"", "", "/home/ada/.config/ignite/config.yaml"},
		{"XDG_CONFIG_HOME", "/xdg", "/xdg/ignite/config.yaml"},
		{"DODIL_CONFIG_DIR", "/dodil", "/dodil/config.yaml"},
		{"IGNITE_CONFIG_DIR", "/ignite", "/ignite/config.yaml"},
	} {
		env[step.variable] = step.value
		wantText(t, c.configPath(), step.want)
	}
	c.flags.configDir = "/flag"
	wantText(t, c.configPath(), "/flag/config.yaml")
}

func TestConfigThatCannotBeRead(t *testing.T) {
	t.Parallel()
	sh := newShell(t, nil)
	path := filepath.Join(sh.env["IGNITE_CONFIG_DIR"], configName)
	if err := os.WriteFile(path, []byte("tokn: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := sh.run("config", "view")
	if r.code != exitFailed {
		t.Errorf("exit code %d", r.code)
	}
	wantContains(t, r.stderr, "field tokn not found")
}

func TestTokenPrecedence(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.on("GetAppState", &ignitev1.GetAppStateResponse{})
	sh := newShell(t, server)
	delete(sh.env, "IGNITE_TOKEN")
	state := []string{"app", "state", "acme:hello"}

	r := sh.run(state...)
	if r.code != 3 || len(server.asked()) != 0 {
		t.Errorf("without a token: exit code %d, %d requests", r.code, len(server.asked()))
	}
	wantContains(t, r.stderr, "ignited token --org ORG")

	sh.succeeds("config", "set", "token", "of-the-file")
	sh.succeeds(state...)
	sh.env["IGNITE_TOKEN"] = "of-ignite\n"
	sh.succeeds(state...)
	sh.env["DODIL_TOKEN"] = "of-dodil"
	sh.succeeds(state...)
	sh.succeeds(append(state, "--token", "of-the-flag")...)

	for i, want := range []string{"of-the-file", "of-ignite", "of-dodil", "of-the-flag"} {
		if got := server.headers[i].Get("authorization"); len(got) != 1 || got[0] != "Bearer "+want {
			t.Errorf("call %d is authorized by %q, want %q", i, got, want)
		}
		if agent := server.headers[i].Get("user-agent"); len(agent) != 1 || !strings.HasPrefix(agent[0], "ignite/") {
			t.Errorf("call %d comes from %q", i, agent)
		}
	}
}

func TestMasked(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]string{
		"": "", "short": "****", strings.Repeat("x", 31): "****", strings.Repeat("x", 28) + "tail": "****tail",
	} {
		wantText(t, masked(token), want)
	}
}
