package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// conduct is how the log behaves towards all who ask.
type conduct struct {
	pageLimit  int
	replicas   []uint64 // by how many entries each is behind; none for one that is not
	wait       func(context.Context) error
	perMinute  int // 0 for no limit
	retryAfter string
	minute     time.Time // when the present minute began
	taken      int       // requests in it
}

// SetPageLimit changes how many entries retrieve gives in one answer; the real server gives ten.
func (r *Rekor) SetPageLimit(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conduct.pageLimit = n
}

// SetReplicas has requests answered by several servers in turn, each of which is so many entries behind in the active
// shard. They differ in the bytes of their signatures too.
func (r *Rekor) SetReplicas(behind ...uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conduct.replicas = behind
}

// SetLatency has every request wait before it is looked at; nil ends that. An error of wait ends the request without an
// answer.
func (r *Rekor) SetLatency(wait func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conduct.wait = wait
}

// SetBudget refuses what exceeds so many requests in a minute of the world's clock, as the proxy before the public instance
// does: with a page in HTML, and with a Retry-After unless that is empty. Zero is no limit.
func (r *Rekor) SetBudget(perMinute int, retryAfter string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conduct.perMinute, r.conduct.retryAfter = perMinute, retryAfter
	r.conduct.minute, r.conduct.taken = time.Time{}, 0
}

// exceeded counts a request against the budget.
func (r *Rekor) exceeded() (retryAfter string, exceeded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.conduct
	if c.perMinute == 0 {
		return "", false
	}
	if now := r.now(); now.Sub(c.minute) >= time.Minute || now.Before(c.minute) {
		c.minute, c.taken = now, 0
	}
	c.taken++
	return c.retryAfter, c.taken > c.perMinute
}

// conducted lets requests through as the log's conduct has it.
func (r *Rekor) conducted(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.RLock()
		wait := r.conduct.wait
		r.mu.RUnlock()
		if wait != nil {
			if err := wait(q.Context()); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		if retryAfter, exceeded := r.exceeded(); exceeded {
			if retryAfter != "" {
				w.Header().Set("Retry-After", retryAfter)
			}
			writeHTML(w, http.StatusTooManyRequests)
			return
		}
		inner.ServeHTTP(w, q)
	})
}

// writeHTML answers with an error page as a proxy has it.
func writeHTML(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<html>\r\n<head><title>%[1]d %[2]s</title></head>\r\n<body>\r\n<center><h1>%[1]d %[2]s</h1></center>\r\n"+
		"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n", status, http.StatusText(status))
}
