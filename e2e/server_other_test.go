//go:build !linux

package e2e

import "os/exec"

// endWithTest does nothing where the kernel cannot be asked to.
func endWithTest(*exec.Cmd) {}
