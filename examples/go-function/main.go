// Command go-function counts the words of a text.
package main

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	ignite "dodil.io/ignite/sdk/go"
)

// answer is what a call gets.
type answer struct {
	Words       int            `json:"words"`
	Longest     string         `json:"longest"`
	Counts      map[string]int `json:"counts"`
	ExecutionID string         `json:"execution_id"`
}

var errEmpty = errors.New("send a text to count the words of")

func main() { ignite.Start(count) }

// count answers how often each word of the payload is in it. Calls run side by side; this one shares nothing.
func count(payload []byte, ctx *ignite.Context) ([]byte, error) {
	words := strings.Fields(strings.ToLower(string(payload)))
	if len(words) == 0 {
		return nil, errEmpty
	}
	found := answer{Words: len(words), Counts: map[string]int{}, ExecutionID: ctx.ExecutionID}
	for _, word := range words {
		found.Counts[word]++
		if utf8.RuneCountInString(word) > utf8.RuneCountInString(found.Longest) {
			found.Longest = word
		}
	}
	return json.Marshal(found)
}
