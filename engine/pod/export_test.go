package pod

import (
	"bytes"
	"net/url"
)

// Wire is r as the transport writes it.
func Wire(r Request) ([]byte, error) {
	request, _, err := r.prepare(Target{Addr: &url.URL{Scheme: "http", Host: "pod:80"}})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = request.Write(&out)
	return out.Bytes(), err
}
