// Package failpoint kills the process at named places, for tests of what a crash leaves behind.
//
// It promises that a process armed by its environment dies at the named place as by SIGKILL: no deferred call runs, no
// buffer is flushed. A process that is not armed pays one comparison a place. It does nothing else: it injects no error.
package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// The environment variables that arm the package.
const (
	// EnvKill is "NAME" or "NAME:COUNT": die when the place is passed for the COUNTth time.
	EnvKill = "REKONCILE_FAILPOINT"
	// EnvLog is a file to which each name passed is appended, one a line.
	EnvLog = "REKONCILE_FAILPOINT_LOG"
)

// armed is what the environment asked for.
type armed struct {
	name string
	log  string

	mu   sync.Mutex
	left int
}

// setting is read once: a process is armed from its start or not at all.
var setting = sync.OnceValue(func() *armed { return parse(os.Getenv(EnvKill), os.Getenv(EnvLog)) })

func parse(kill, log string) *armed {
	if kill == "" && log == "" {
		return nil
	}
	a := &armed{log: log, left: 1}
	name, count, counted := strings.Cut(kill, ":")
	a.name = name
	if counted {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 {
			panic(fmt.Sprintf("%s is %q: want NAME or NAME:COUNT", EnvKill, kill))
		}
		a.left = n
	}
	return a
}

// Hit is a place at which a test may kill the process. name is "room/what-has-just-happened".
func Hit(name string) {
	if a := setting(); a != nil && a.hit(name) {
		die()
	}
}

// hit logs a place and reports whether it is the one to die at.
func (a *armed) hit(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.log != "" {
		if err := appendLine(a.log, name); err != nil {
			panic(fmt.Sprintf("failpoint log: %v", err))
		}
	}
	if name != a.name {
		return false
	}
	a.left--
	return a.left == 0
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line + "\n"); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// die ends the process without a trace of tidiness.
func die() {
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGKILL); err != nil {
		panic(err)
	}
	select {} // the signal is on its way
}
