package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"dodil.io/ignite/gateway/proxy"
)

func TestWebSocketLivesAsLongAsBothWant(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}})
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(1 << 20)
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	}), func(c *proxy.Call) { c.Timeout = 200 * time.Millisecond })
	conn, response, err := websocket.Dial(t.Context(), s.front, &websocket.DialOptions{Subprotocols: []string{"echo"}})
	if err != nil || conn.Subprotocol() != "echo" {
		t.Fatalf("dial: %v, subprotocol %v", err, response)
	}
	conn.SetReadLimit(1 << 20)
	// A call that begins later runs out of time first.
	do(t, overHTTP1(t), request(t, "GET", s.front+"/slow", ""))
	s.wants(t, proxy.ErrTimeout, 0)
	for _, message := range []string{"hello", strings.Repeat("x", 1<<19)} {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(t.Context()); string(got) != message {
			t.Errorf("%d bytes came back as %d, %v", len(message), len(got), err)
		}
	}
	if len(s.ended) != 0 {
		t.Error("the call ended while both sides wanted it")
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
	s.wants(t, nil, http.StatusSwitchingProtocols)
}

func TestUpgradedConnectionIsCutWhenItsServerGoes(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	s := start(t, http.HandlerFunc(shout), func(c *proxy.Call) { c.Gone = gone })
	_, reader := raw(t, s.front, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nearly\n")
	response := must(http.ReadResponse(reader, nil))
	_ = response.Body.Close() // it is empty: what follows the head is another protocol
	if line := must(reader.ReadString('\n')); line != "EARLY\n" {
		t.Errorf("the server answered %q", line)
	}
	close(gone)
	if line, err := reader.ReadString('\n'); err == nil {
		t.Errorf("read %q", line)
	}
	s.wants(t, proxy.ErrGone, http.StatusSwitchingProtocols)
}

// shout switches protocols, and answers lines in upper case.
func shout(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "shout" {
		_, _ = io.WriteString(w, "plain")
		return
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "shout")
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	for {
		line, err := buffered.ReadString('\n')
		if _, failed := io.WriteString(conn, strings.ToUpper(line)); err != nil || failed != nil {
			return
		}
	}
}

func TestOneSideMayBeDoneBeforeTheOther(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "count")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		all, _ := io.ReadAll(buffered)
		_, _ = io.WriteString(conn, strings.ToUpper(string(all)))
	}))
	conn, reader := raw(t, s.front, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: count\r\n\r\n")
	response := must(http.ReadResponse(reader, nil))
	_ = response.Body.Close() // it is empty: what follows the head is another protocol
	must(io.WriteString(conn, "all"))
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest := must(io.ReadAll(reader)); string(rest) != "ALL" {
		t.Errorf("the rest is %q", rest)
	}
	s.wants(t, nil, http.StatusSwitchingProtocols)
}

// What a caller says in HTTP/2 inside an upgraded connection would carry no checked token and no identity of ours.
func TestUpgradeToHTTP2IsNotPassedOn(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Upgrade")+r.Header.Get("Http2-Settings"))
	}))
	r := request(t, "GET", s.front, "")
	r.Header = http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"h2c"}, "Http2-Settings": {"AAMAAABkAARAAAAAAAIAAAAA"}}
	if response, body := do(t, overHTTP1(t), r); body != "" || response.StatusCode != 200 {
		t.Errorf("answer is %d %q", response.StatusCode, body)
	}
}
