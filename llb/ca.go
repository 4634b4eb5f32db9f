package larder

import (
	"fmt"
	"path"

	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
)

// CASettings returns the state of the folder step.CASettings. It has settings files for apt and wget, which have no
// variable that names authorities.
func (b Builder) CASettings() llb.State {
	apt := fmt.Sprintf("Acquire::https::CAInfo %q;\n", step.CAFile)
	wget := fmt.Sprintf("ca_certificate = %s\n", step.CAFile)
	return llb.Scratch().Platform(b.Platform).File(
		llb.Mkfile(path.Join("/", step.AptSettings), 0o644, []byte(apt)).Mkfile(path.Join("/", step.WgetSettings), 0o644, []byte(wget)),
		llb.WithCustomName("[internal] make settings that name certificate authorities"))
}
