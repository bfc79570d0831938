package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// print writes an answer of the server in the format of --output; asTable is called for tables only.
func (c *client) print(answer proto.Message, asTable func() string) error {
	if c.tables() {
		return c.write(asTable())
	}
	document, err := protojson.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return c.printJSON(document)
}

// printValue is print for what is no answer of the server.
func (c *client) printValue(value any, asTable func() string) error {
	if c.tables() {
		return c.write(asTable())
	}
	document, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return c.printJSON(document)
}

// printEvent writes one answer of many: one line of JSON, or one YAML document.
func (c *client) printEvent(answer proto.Message) error {
	document, err := protojson.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return c.printJSONEvent(document)
}

// printEventValue is printEvent for what is no answer of the server.
func (c *client) printEventValue(value any) error {
	document, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return c.printJSONEvent(document)
}

func (c *client) printJSONEvent(document []byte) error {
	if c.flags.output == "yaml" {
		if err := c.write("---\n"); err != nil {
			return err
		}
		return c.printJSON(document)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, document); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return c.write(line.String() + "\n")
}

func (c *client) tables() bool { return c.flags.output == "table" || c.flags.output == "wide" }

func (c *client) printJSON(document []byte) error {
	if c.flags.output == "yaml" {
		content, err := yamlFromJSON(document)
		if err != nil {
			return fmt.Errorf("encode the output: %w", err)
		}
		return c.write(content)
	}
	var indented bytes.Buffer // also undoes the random spaces of protojson
	if err := json.Indent(&indented, document, "", "  "); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return c.write(indented.String() + "\n")
}

func (c *client) write(content string) error {
	_, err := io.WriteString(c.stdout, content)
	return err
}

// tell writes a line to stderr, which is for people; what programs read goes to stdout.
func (c *client) tell(format string, args ...any) {
	line := printable(fmt.Sprintf(format, args...))
	_, _ = fmt.Fprintln(c.stderr, line) // there is no other place to say that stderr is gone
}

// writeBody passes on bytes of an app as they are, at once.
func (c *client) writeBody(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	c.lastByte = data[len(data)-1]
	if _, err := c.stdout.Write(data); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// endBody ends the last line of a body on a terminal, where the prompt would stick to it; elsewhere bytes stay as they
// are.
func (c *client) endBody() error {
	if c.lastByte == 0 || c.lastByte == '\n' || !isTerminal(c.stdout) {
		return nil
	}
	return c.write("\n")
}

// yamlFromJSON keeps the order of the fields. JSON is YAML, so it is read as that, and written without JSON's style.
func yamlFromJSON(document []byte) (string, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(document, &node); err != nil {
		return "", err
	}
	if err := inBlocks(&node); err != nil {
		return "", err
	}
	var content bytes.Buffer
	encoder := yaml.NewEncoder(&content)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		return "", err
	}
	return content.String(), encoder.Close()
}

func inBlocks(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!str" {
		return node.Encode(node.Value) // quotes what YAML 1.1 would read as another type, such as yes
	}
	if len(node.Content) > 0 { // empty ones have no form but JSON's
		node.Style = 0
	}
	for _, child := range node.Content {
		if err := inBlocks(child); err != nil {
			return err
		}
	}
	return nil
}

// grid is a table with a header, columns set apart by spaces alone, so that cut and awk can read it.
func grid(header []string, rows [][]string) string {
	writer := newTable()
	writer.AppendHeader(tableRow(header))
	for _, row := range rows {
		writer.AppendRow(tableRow(row))
	}
	return writer.Render() + "\n"
}

// fields is a table of names and values, one a line, without those that have no value.
func fields(pairs ...[2]string) string {
	writer := newTable()
	for _, pair := range pairs {
		if pair[1] != "" {
			writer.AppendRow(tableRow([]string{pair[0] + ":", pair[1]}))
		}
	}
	return writer.Render() + "\n"
}

func newTable() table.Writer {
	writer := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "   "
	style.Format.Header = text.FormatUpper
	writer.SetStyle(style)
	writer.SuppressTrailingSpaces()
	return writer
}

func tableRow(cells []string) table.Row {
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		row[i] = printable(cell)
	}
	return row
}

// printable takes out what could steer a terminal: texts here come from apps and from other people.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// instant is a time of the API for people; 0 is none.
func instant(milliseconds int64) string {
	if milliseconds == 0 {
		return ""
	}
	return time.UnixMilli(milliseconds).UTC().Format("2006-01-02T15:04:05Z")
}

// span is a duration of the API for people.
func span(milliseconds int64) string {
	return (time.Duration(milliseconds) * time.Millisecond).String()
}

// count is a number that is left out when it is 0.
func count(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
