package gateway

import (
	"path/filepath"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

func publicRuntime(c store.Code) *ignitev1.Runtime {
	switch c.Runtime {
	case "python":
		return &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Python{Python: &ignitev1.PythonRuntime{}}}
	case "go":
		return &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Go{Go: &ignitev1.GoRuntime{}}}
	case "deno":
		return &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Deno{Deno: &ignitev1.DenoRuntime{}}}
	case "rust":
		target := ignitev1.RustCompilationTarget(ignitev1.RustCompilationTarget_value[c.RustTarget])
		rust := &ignitev1.RustRuntime{Target: target, ToolchainVersion: c.Toolchain}
		return &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Rust{Rust: rust}}
	default:
		return nil
	}
}

func deploymentMode(c store.Code) ignitev1.DeploymentMode {
	if c.Kind == store.CodeSDK {
		return ignitev1.DeploymentMode_DEPLOYMENT_MODE_MANAGED
	}
	return ignitev1.DeploymentMode_DEPLOYMENT_MODE_IMAGE
}

// code takes a code source apart; field is its name in the request.
func (v *violations) code(field string, source *ignitev1.CodeSource) (code store.Code, archive []byte) {
	switch source := source.GetSource().(type) {
	case *ignitev1.CodeSource_Compile:
		return v.compileSource(field+".compile", source.Compile)
	case *ignitev1.CodeSource_Image:
		return v.imageSource(field+".image", source.Image)
	default:
		v.add(field, "must have compile or image")
		return store.Code{}, nil
	}
}

func (v *violations) compileSource(field string, source *ignitev1.CompileSource) (store.Code, []byte) {
	code := store.Code{Kind: store.CodeSDK}
	switch runtime := source.GetRuntime().GetRuntime().(type) {
	case *ignitev1.Runtime_Python:
		code.Runtime = "python"
	case *ignitev1.Runtime_Go:
		code.Runtime = "go"
	case *ignitev1.Runtime_Deno:
		code.Runtime = "deno"
	case *ignitev1.Runtime_Rust:
		v.enum(field+".runtime.rust.target", int32(runtime.Rust.GetTarget()), ignitev1.RustCompilationTarget_name)
		v.longest(field+".runtime.rust.toolchain_version", runtime.Rust.GetToolchainVersion(), maxToolchain)
		code.Runtime, code.RustTarget, code.Toolchain = "rust", runtime.Rust.GetTarget().String(), runtime.Rust.GetToolchainVersion()
	default:
		v.add(field+".runtime", "must be python, go, deno or rust")
	}
	v.archive(field+".source_code", source.GetSourceCode())
	return code, source.GetSourceCode()
}

func (v *violations) imageSource(field string, source *ignitev1.ImageSource) (store.Code, []byte) {
	switch source := source.GetSource().(type) {
	case *ignitev1.ImageSource_FromCode:
		v.archive(field+".from_code.source_code", source.FromCode.GetSourceCode())
		v.dockerfile(field+".from_code.dockerfile_path", source.FromCode.GetDockerfilePath())
		return store.Code{Kind: store.CodeUploadImage, Dockerfile: source.FromCode.GetDockerfilePath()}, source.FromCode.GetSourceCode()
	case *ignitev1.ImageSource_Prebuilt:
		if source.Prebuilt.GetImageRef() == "" {
			v.add(field+".prebuilt.image_ref", "is missing")
		}
		v.longest(field+".prebuilt.image_ref", source.Prebuilt.GetImageRef(), maxImageRef)
		return store.Code{Kind: store.CodePrebuilt, ImageRef: source.Prebuilt.GetImageRef()}, nil
	default:
		v.add(field, "must have from_code or prebuilt")
		return store.Code{}, nil
	}
}

// maxDockerfile bounds the path of a Dockerfile.
const maxDockerfile = 512

func (v *violations) dockerfile(field, path string) {
	v.longest(field, path, maxDockerfile)
	if path != "" && !filepath.IsLocal(path) {
		v.add(field, "must be a path inside the archive")
	}
}

func (v *violations) archive(field string, archive []byte) {
	if len(archive) == 0 {
		v.add(field, "is missing: send a tar.gz or zip archive")
	}
}
