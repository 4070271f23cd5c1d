package fetch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rekoncile/rekoncile/internal/clock"
)

func TestReadersInParallelKeepTheirConnections(t *testing.T) {
	const readers, rounds = 32, 4
	var made atomic.Int64
	var all sync.WaitGroup // the requests that are not there yet
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		all.Done()
		all.Wait() // so that they are all in flight at once
		fmt.Fprint(rw, "the answer")
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := New(Options{Clock: clock.Real(), Allow: Allow{Hosts: []string{"127.0.0.1"}}})
	t.Cleanup(c.Close)
	for range rounds {
		all.Add(readers)
		var wg sync.WaitGroup
		for range readers {
			wg.Go(func() {
				if _, err := c.Do(context.Background(), Request{URL: s.URL, MaxBytes: 100}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if got := made.Load(); got > readers {
		t.Errorf("%d connections were made for %d readers", got, readers)
	}
}
