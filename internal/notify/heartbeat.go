package notify

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// Beat calls a heartbeat URL, which is a secret. An answer that is no success is an error.
func Beat(ctx context.Context, client *http.Client, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || !secure(u) {
		return errors.New("the heartbeat's address is not an https URL")
	}
	a, err := exchange(ctx, client, http.MethodGet, address, http.Header{"User-Agent": {"rekoncile"}}, nil)
	switch {
	case err != nil:
		return unanswered("the heartbeat", err, secretsOf(address)...)
	case !a.success():
		return refusedBy("the heartbeat", a)
	}
	return nil
}
