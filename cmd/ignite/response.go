package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func newExecutionResponseCommand(c *client) *cobra.Command {
	var file string
	var headOnly, include bool
	command := &cobra.Command{
		Use:   "response ID",
		Short: "Fetch the app's answer itself, any number of times",
		Long: `Fetch the answer that the app gave to an execution, until its record goes away: the body is written to standard
output or to --file, as it is. --head shows status and headers instead. The exit code says whether the answer could be read, not
what it says.`,
		Example: `  ignite execution response exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5 --file small.jpg
  ignite execution response exec_01K2Z4M1T7N8Q9R0S1T2V3W4X5 --head`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			err := c.withConnection(func(conn *connection) error {
				if headOnly {
					return c.showResponseHead(command.Context(), conn, args[0])
				}
				return c.saveResponse(command.Context(), conn, args[0], file, include)
			})
			if err != nil {
				return fmt.Errorf("get the response of execution %s: %w", args[0], err)
			}
			return nil
		},
	}
	command.Flags().StringVarP(&file, "file", "f", "", "`FILE` to write the body to")
	command.Flags().BoolVar(&headOnly, "head", false, "show status and headers, and leave the body")
	command.Flags().BoolVarP(&include, "include", "i", false, "show status, headers and trailers on standard error, too")
	command.MarkFlagsMutuallyExclusive("head", "file")
	command.MarkFlagsMutuallyExclusive("head", "include")
	return command
}

func (c *client) showResponseHead(ctx context.Context, conn *connection, id string) error {
	ctx, leave := c.streamContext(ctx)
	defer leave()
	answer, err := c.openResponse(ctx, conn, id)
	if err != nil {
		return err
	}
	head := answer.first.GetHead()
	return c.print(head, func() string {
		first := fmt.Sprintf("HTTP %d %s", head.GetStatusCode(), http.StatusText(int(head.GetStatusCode())))
		return printable(strings.Join(append([]string{first}, headLines(head)...), "\n")) + "\n"
	})
}

func (c *client) saveResponse(ctx context.Context, conn *connection, id, file string, include bool) error {
	ctx, leave := c.streamContext(ctx)
	defer leave()
	answer, err := c.openResponse(ctx, conn, id)
	if err != nil {
		return err
	}
	body := &answerCopy{client: c, include: include, began: func() {}, write: c.writeBody}
	if file == "" {
		return errors.Join(body.copyFrom(answer), c.endBody())
	}
	opened, err := os.Create(file)
	if err != nil {
		return usagef("write the response: %w", err)
	}
	body.write = func(data []byte) error {
		_, err := opened.Write(data)
		return err
	}
	return errors.Join(body.copyFrom(answer), opened.Close())
}

// response is the stream of an answer whose first frame has come.
type response struct {
	grpc.ServerStreamingClient[ignitev1.InvokeResponse]
	first *ignitev1.InvokeResponse
	taken bool
}

// openResponse asks for an answer until it begins: nothing of it was written by then, so it may be asked for again.
func (c *client) openResponse(ctx context.Context, conn *connection, id string) (*response, error) {
	answer := &response{}
	err := c.repeating(ctx, func() (err error) {
		answer.ServerStreamingClient, err = conn.api.FetchResponse(ctx, &ignitev1.FetchResponseRequest{ExecutionId: id})
		if err == nil {
			answer.first, err = answer.ServerStreamingClient.Recv()
		}
		return err
	})
	if errors.Is(err, io.EOF) {
		err = errors.New("the server sent nothing")
	}
	return answer, err
}

func (r *response) Recv() (*ignitev1.InvokeResponse, error) {
	if !r.taken {
		r.taken = true
		return r.first, nil
	}
	return r.ServerStreamingClient.Recv()
}
