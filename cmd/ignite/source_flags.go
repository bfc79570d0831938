package main

import (
	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// sourceFlags say where an app's code is and what it is, or which image the app is.
type sourceFlags struct {
	code, runtime, dockerfile, image string
}

// register adds all but --code, which not every command has.
func (s *sourceFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&s.runtime, "runtime", "", runtimeHelp)
	flags.StringVar(&s.dockerfile, "dockerfile", "", "`PATH` in the code of the Dockerfile to build (default Dockerfile, if there is one)")
	flags.StringVar(&s.image, "image", "", "`NAME` of a container image to run instead of code")
	completeFrom(command, "runtime", runtimes)
}

func (s *sourceFlags) given() bool { return s.code != "" || s.image != "" }

// read answers the code source that the flags say.
func (s *sourceFlags) read(c *client) (*ignitev1.CodeSource, error) {
	if s.image == "" {
		return s.readCode(c)
	}
	if s.code != "" || s.runtime != "" || s.dockerfile != "" {
		return nil, usagef("--image is an app without code: give neither code, --runtime nor --dockerfile with it")
	}
	prebuilt := &ignitev1.ImageSource_Prebuilt{Prebuilt: &ignitev1.PrebuiltImage{ImageRef: s.image}}
	return imageSource(&ignitev1.ImageSource{Source: prebuilt}), nil
}

func (s *sourceFlags) readCode(c *client) (*ignitev1.CodeSource, error) {
	archive, err := c.readArchive(s.code)
	if err != nil {
		return nil, err
	}
	runtime := s.runtime
	if s.dockerfile != "" && runtime == "" {
		runtime = "procfile"
	}
	source, err := codeSource(archive, runtime)
	if err != nil || s.dockerfile == "" {
		return source, err
	}
	if source.GetImage() == nil {
		return nil, usagef("--dockerfile is for an HTTP server, not for --runtime %s", s.runtime)
	}
	source.GetImage().GetFromCode().DockerfilePath = s.dockerfile
	return source, nil
}

func imageSource(image *ignitev1.ImageSource) *ignitev1.CodeSource {
	return &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Image{Image: image}}
}
