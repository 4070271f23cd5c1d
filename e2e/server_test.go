package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
)

const (
	// startLimit is how long a server may take to answer, on a machine that is busy with other things.
	startLimit = 2 * time.Minute
	stopLimit  = 20 * time.Second
)

// server is a program that others wrote, while it runs.
type server struct {
	name   string
	cmd    *exec.Cmd
	output string // the file with what it prints
	ended  chan struct{}
}

// startServer starts a program that is to run until it is stopped. Of this machine's environment it gets only what it needs
// to run: neither a proxy nor a configuration that happens to be there.
func startServer(dir, name, program string, env []string, args ...string) (*server, error) {
	s := &server{name: name, output: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	output, err := os.OpenFile(s.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	s.cmd = exec.Command(program, args...)
	s.cmd.Dir = dir
	s.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
	s.cmd.Stdout, s.cmd.Stderr = output, output
	endWithTest(s.cmd)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // that it ended is told by whoever waits for it, with what it printed
	}()
	return s, nil
}

// stop ends the server, by force if it takes too long, and waits for it.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", s.name, err)
	}
	limit := clock.Real().NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-s.ended:
		return nil
	case <-limit.C():
	}
	return s.kill()
}

// kill ends the server at once, and waits for it.
func (s *server) kill() error {
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", s.name, err)
	}
	<-s.ended
	return nil
}

// tail is the end of what the server printed.
func (s *server) tail() string {
	const most = 4 << 10
	text, err := os.ReadFile(s.output)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// await waits until a server is ready. It is an error if it ends before.
func (s *server) await(ctx context.Context, ready func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err := poll(ctx, func(ctx context.Context) error {
		select {
		case <-s.ended:
			cancel()
			return errors.New("it ended")
		default:
			return ready(ctx)
		}
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w\n%s", s.name, err, s.tail())
	}
	return nil
}

// poll repeats something until it succeeds. When the context ends, the last error tells why it did not.
func poll(ctx context.Context, try func(ctx context.Context) error) error {
	tick := clock.Real().NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C():
		case <-ctx.Done():
			return err
		}
	}
}

// launch starts a server for one test, and waits until it is ready. What it printed is shown if the test fails.
func launch(t *testing.T, dir, name string, env []string, ready func(ctx context.Context) error, args ...string) *server {
	t.Helper()
	path, err := tool(t.Context(), name)
	need(t, err)
	s, err := startServer(dir, name, path, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", name, s.tail())
		}
	})
	if err := s.await(t.Context(), ready); err != nil {
		t.Fatal(err)
	}
	t.Logf("server: %s", programs[name])
	shared.used(programs[name].String())
	return s
}

// answers is the readiness of a server that answers a request with a success.
func answers(url string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		_, err := ask(ctx, http.MethodGet, url, "", nil)
		return err
	}
}

// ask makes one request and returns the answer, which is an error unless it is a success.
func ask(ctx context.Context, method, url, contentType string, body []byte) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		q.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: status %d: %s", method, url, resp.StatusCode, strings.TrimSpace(string(answer)))
	}
	return answer, err
}

// freeAddress is an address on loopback that nobody listens on just now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// freePort is the port of a free address.
func freePort(t *testing.T) string {
	t.Helper()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
