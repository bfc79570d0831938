package gateway

import (
	"encoding/base64"
	"strings"

	"google.golang.org/protobuf/proto"
)

// Bounds of one page of a list.
const (
	defaultPage = 100
	maxPage     = 1000
	// maxPageBytes ends a page early, well under the 4 MiB that gRPC clients take by default.
	maxPageBytes = 2 << 20
)

// A cursor holds the kind of list it belongs to and where the page before ended, so that one of another list is noticed.
const (
	appCursor     = "app"
	versionCursor = "version"
)

func pageSize(limit uint32) int {
	return int(min(orDefault(limit, defaultPage), maxPage))
}

func cursor(kind, last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + ":" + last))
}

// parseCursor answers where the page before ended; empty for the first page.
func parseCursor(kind, text string) (last string, err error) {
	if text == "" {
		return "", nil
	}
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		if last, ok := strings.CutPrefix(string(plain), kind+":"); ok && last != "" {
			return last, nil
		}
	}
	return "", badField("cursor", "is not a next_cursor of this list")
}

// fitting is how many messages one page takes, at least one.
func fitting[M proto.Message](messages []M) int {
	size := 0
	for i, message := range messages {
		if size += proto.Size(message); size > maxPageBytes && i > 0 {
			return i
		}
	}
	return len(messages)
}
