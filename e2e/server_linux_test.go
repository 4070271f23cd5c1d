package e2e

import (
	"os/exec"
	"syscall"
)

// endWithTest has the kernel end a server with the tests that started it, should they be killed before they can.
func endWithTest(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
