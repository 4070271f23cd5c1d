package notify_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/notify"
)

func TestAHeartbeatThatIsNotTakenIsAnError(t *testing.T) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	closed := newReceiver(t)
	closed.server.Close()
	for name, c := range map[string]struct{ address, want string }{
		"taken":     {newReceiver(t).server.URL + "/topsecret", ""},
		"refused":   {newReceiver(t, answers(404, "", "", false)).server.URL + "/topsecret", "the heartbeat answered 404 Not Found"},
		"redirect":  {newReceiver(t, answers(302, "Location", "/topsecret2", false)).server.URL + "/topsecret", "the heartbeat answered 302 Found"},
		"down":      {closed.server.URL + "/topsecret", "the heartbeat cannot be reached: dial tcp"},
		"plain":     {"http://hc.example/topsecret", "the heartbeat's address is not an https URL"},
		"not a URL": {"topsecret", "the heartbeat's address is not an https URL"},
	} {
		err := notify.Beat(context.Background(), client, c.address)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) || strings.Contains(fmt.Sprintf("%+v", err), "topsecret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
