package github_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/github"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

const (
	widget = "example/widget"
	token  = "hush-a-token"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// digest is a digest of a file that nobody has.
func digest(n int) string { return fmt.Sprintf("%064x", n) }

// world is GitHub with one repository, and a client of it on a simulated clock.
type world struct {
	*sandbox.GitHub
	clock  *clock.Simulated
	client *github.Client
}

func newWorld(t *testing.T, edit ...func(*fetch.Options, *github.Options)) *world {
	t.Helper()
	c := clock.NewSimulated(noon)
	c.AutoAdvance()
	w, err := sandbox.New(sandbox.Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	w.GitHub.SetRepository(sandbox.GitHubRepository{Name: widget, ID: 7, OwnerID: 9})
	fo := fetch.Options{Clock: c, UserAgent: "rekoncile/test", Rand: func() float64 { return 0 }, Allow: fetch.Allow{Hosts: []string{strings.TrimPrefix(w.GitHub.URL(), "http://")}}}
	o := github.Options{API: w.GitHub.URL(), Token: token, Clock: c}
	for _, e := range edit {
		e(&fo, &o)
	}
	api := fetch.New(fo)
	fo.Allow.Hosts = []string{strings.TrimPrefix(w.GitHub.Blobs.URL(), "http://"), "*.blob.core.windows.net"}
	blobs := fetch.New(fo)
	t.Cleanup(api.Close)
	t.Cleanup(blobs.Close)
	return &world{w.GitHub, c, github.NewClient(api, blobs, o)}
}

// publish puts bundles into the store, each under a digest.
func (w *world) publish(t *testing.T, under string, bundles ...string) {
	t.Helper()
	for _, b := range bundles {
		if err := w.Publish(widget, []byte(b), under); err != nil {
			t.Fatal(err)
		}
	}
}

// bundles asks for a digest, and returns what came.
func (w *world) bundles(t *testing.T, of string) ([]string, error) {
	t.Helper()
	all, err := w.client.Attestations(t.Context(), widget, of)
	var out []string
	for _, a := range all {
		if a.RepositoryID != 7 {
			t.Errorf("repository %d", a.RepositoryID)
		}
		out = append(out, string(a.Bundle))
	}
	return out, err
}

func TestBundlesComeWhereverTheStoreHasThem(t *testing.T) {
	want := []string{`{"a":1}`, `{"b":"` + strings.Repeat("x", 100_000) + `"}`, `{"c":3}`}
	for name, edit := range map[string]func(*world){
		"from addresses": func(*world) {},
		"inline":         func(w *world) { w.Inline() },
		"page by page":   func(w *world) { w.PageBy(1) },
		"as plain JSON": func(w *world) {
			w.Blobs.Break(sandbox.Fault{ContentType: "application/json", Rewrite: func(b []byte) []byte {
				for _, bundle := range want {
					if bytes.Contains(b, []byte(bundle[:6])) {
						return []byte(bundle)
					}
				}
				return nil
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			edit(w)
			w.publish(t, digest(1), want...)
			got, err := w.bundles(t, digest(1))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("bundles (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoneIsWhatGitHubSaidAndNothingElse(t *testing.T) {
	w := newWorld(t)
	w.publish(t, digest(1), `{}`)
	if got, err := w.bundles(t, digest(2)); err != nil || got != nil {
		t.Errorf("a digest that nothing is about: %v, %v", got, err)
	}
	w.Break(sandbox.Fault{ContentType: "application/json", Body: []byte(`{"attestations":[]}`), Times: 1})
	if got, err := w.bundles(t, digest(1)); err != nil || got != nil {
		t.Errorf("an empty list: %v, %v", got, err)
	}
	for _, h := range sandbox.HostileAttestations() {
		t.Run(h.Name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(t, digest(1), `{}`)
			w.Break(h.Fault)
			checkRefused(t, w)
		})
	}
	for _, h := range sandbox.HostileBundles() {
		t.Run("bundle: "+h.Name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(t, digest(1), `{"a":"`+strings.Repeat("xyz", 1000)+`"}`)
			w.Blobs.Break(h.Fault)
			checkRefused(t, w)
		})
	}
}

// checkRefused expects an error that tells no secret.
func checkRefused(t *testing.T, w *world) {
	t.Helper()
	got, err := w.bundles(t, digest(1))
	if err == nil || got != nil {
		t.Fatalf("%v, error %v", got, err)
	}
	for _, secret := range []string{token, "sig=", "hush", "se="} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells %q: %v", secret, err)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for status, want := range map[int]string{401: "github.token_file", 403: "what the token may do", 410: "newer version of the monitor", 422: "newer version", 500: "githubstatus.com"} {
		w := newWorld(t)
		w.Break(sandbox.Fault{Status: status})
		_, err := w.bundles(t, digest(1))
		var limit *github.RateLimitError
		if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &limit) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestTheTokenStaysWithTheAPI(t *testing.T) {
	w := newWorld(t)
	w.publish(t, digest(1), `{"a":1}`)
	if _, err := w.bundles(t, digest(1)); err != nil {
		t.Fatal(err)
	}
	asked := w.Requests()
	if len(asked) != 1 || asked[0].Header.Get("Authorization") != "Bearer "+token || asked[0].Header.Get("X-GitHub-Api-Version") != "2022-11-28" ||
		asked[0].Header.Get("Accept") != "application/vnd.github+json" || asked[0].Header.Get("User-Agent") == "" {
		t.Errorf("the API was asked %+v", asked)
	}
	blobs := w.Blobs.Requests()
	if len(blobs) != 1 || blobs[0].Status != http.StatusOK || blobs[0].Header.Get("Authorization") != "" || strings.Contains(fmt.Sprint(blobs[0].Header), token) {
		t.Errorf("the store of bundles was asked %+v", blobs)
	}
}

func TestPagesAreOfTheAPIsOwnHost(t *testing.T) {
	for name, link := range map[string]string{
		"another host":   `<https://attacker.example/next>; rel="next"`,
		"another port":   `<http://127.0.0.1:1/next>; rel="next"`,
		"another scheme": `<https://` + "HOST" + `/next>; rel="next"`,
		"a user":         `<http://user@` + "HOST" + `/next>; rel="next"`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(t, digest(1), `{}`)
			link := strings.ReplaceAll(link, "HOST", strings.TrimPrefix(w.URL(), "http://"))
			client := github.NewClient(linking{w, link}, linking{w, link}, github.Options{API: w.URL(), Clock: w.clock})
			if all, err := client.Attestations(t.Context(), widget, digest(1)); err == nil || !strings.Contains(err.Error(), "not on the API's own host") {
				t.Errorf("%v, %v", all, err)
			}
		})
	}
	t.Run("without end", func(t *testing.T) {
		w := newWorld(t)
		client := github.NewClient(linking{w, "<" + w.URL() + `/again>; rel="next"`}, nil, github.Options{API: w.URL(), Clock: w.clock})
		if _, err := client.Attestations(t.Context(), widget, digest(1)); err == nil || !strings.Contains(err.Error(), "more than 5 pages") {
			t.Errorf("error %v", err)
		}
	})
}

// linking answers every question with an empty page and a link.
type linking struct {
	*world
	link string
}

func (l linking) Do(context.Context, fetch.Request) (*fetch.Response, error) {
	return &fetch.Response{Status: 200, Header: http.Header{"Link": {l.link}}, Body: []byte(`{"attestations":[]}`)}, nil
}

func TestARateLimitSaysWhenToComeAgain(t *testing.T) {
	w := newWorld(t)
	w.publish(t, digest(1), `{}`)
	reset := noon.Add(37 * time.Minute)
	w.Limit(2, reset)
	for range 2 {
		if _, err := w.bundles(t, digest(1)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		_, err := w.bundles(t, digest(1))
		var limit *github.RateLimitError
		if !errors.As(err, &limit) || !limit.Until.Equal(reset) {
			t.Fatalf("error %v", err)
		}
	}
	// The second answer said that nothing is left: no further request is made until then.
	if n := len(w.Requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	w.clock.AdvanceTo(reset)
	if _, err := w.bundles(t, digest(1)); err != nil {
		t.Errorf("after the limit was renewed: %v", err)
	}
}

func TestEveryFormOfARateLimitIsOne(t *testing.T) {
	for name, c := range map[string]struct {
		fault sandbox.Fault
		until time.Duration
	}{
		"429 with Retry-After":    {sandbox.Fault{Status: 429, RetryAfter: "90"}, 90 * time.Second},
		"403 with Retry-After":    {sandbox.Fault{Status: 403, RetryAfter: "600"}, 10 * time.Minute},
		"429 that says no time":   {sandbox.Fault{Status: 429}, time.Minute},
		"a time beyond all sense": {sandbox.Fault{Status: 429, RetryAfter: "99999999"}, 24 * time.Hour},
	} {
		w := newWorld(t)
		w.Break(c.fault)
		began := w.clock.Now()
		_, err := w.bundles(t, digest(1))
		var limit *github.RateLimitError
		if !errors.As(err, &limit) || !limit.Until.Equal(noon.Add(c.until)) {
			t.Errorf("%s: error %v", name, err)
		}
		if n := len(w.Requests()); n != 1 || !w.clock.Now().Equal(began) {
			t.Errorf("%s: %d requests, and %s passed", name, n, w.clock.Now().Sub(began))
		}
	}
}

func TestAUsedUpBudgetIsARateLimitAndIsNotWaitedFor(t *testing.T) {
	w := newWorld(t, func(o *fetch.Options, _ *github.Options) {
		o.DefaultBudget = fetch.Budget{Requests: 60, Per: time.Hour, Burst: 3}
	})
	var limit *github.RateLimitError
	for range 3 {
		if _, err := w.bundles(t, digest(1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.bundles(t, digest(1)); !errors.As(err, &limit) || !limit.Until.Equal(noon.Add(time.Minute)) || !w.clock.Now().Equal(noon) {
		t.Fatalf("error %v at %s", err, w.clock.Now())
	}
	w.clock.Advance(time.Minute)
	if _, err := w.bundles(t, digest(1)); err != nil {
		t.Error(err)
	}
}

func TestWhatIsAskedForIsADigestOfARepository(t *testing.T) {
	w := newWorld(t)
	for _, q := range [][2]string{
		{widget, "abc"}, {widget, strings.ToUpper(digest(0xabcdef))}, {widget, digest(1) + "00"}, {"widget", digest(1)}, {"example/..", digest(1)},
		{"a/b/c", digest(1)}, {"a/b?c", digest(1)}, {"", digest(1)},
	} {
		if _, err := w.client.Attestations(t.Context(), q[0], q[1]); err == nil {
			t.Errorf("%q was asked for", q)
		}
	}
	if n := len(w.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestRepositoryTellsItsIDsOfToday(t *testing.T) {
	w := newWorld(t)
	got, err := w.client.Repository(t.Context(), widget)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(github.Repository{Name: widget, ID: "7", OwnerID: "9", Visibility: "public"}, got); diff != "" {
		t.Errorf("repository (-want +got):\n%s", diff)
	}
	var none *github.NotFoundError
	if _, err := w.client.Repository(t.Context(), "example/gone"); !errors.As(err, &none) {
		t.Errorf("one that is not there: %v", err)
	}
	w.Break(sandbox.Fault{ContentType: "application/json", Body: []byte(`{"id":7,"full_name":"example/widget"}`)})
	if r, err := w.client.Repository(t.Context(), widget); err == nil {
		t.Errorf("without an owner: %+v", r)
	}
}

func TestRunTellsWhatStartedIt(t *testing.T) {
	w := newWorld(t)
	w.AddRun(sandbox.GitHubRun{Repository: widget, ID: 42, Attempt: 2, HeadSHA: "c0ffee", Event: "push", Path: ".github/workflows/ci.yml@refs/heads/main", Conclusion: "failure"})
	got, err := w.client.Run(t.Context(), widget, 42, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := github.Run{ID: 42, Attempt: 2, Repository: widget, HeadSHA: "c0ffee", Event: "push", Path: ".github/workflows/ci.yml", Status: "completed", Conclusion: "failure"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	var none *github.NotFoundError
	if _, err := w.client.Run(t.Context(), widget, 42, 3); !errors.As(err, &none) {
		t.Errorf("an attempt that there was not: %v", err)
	}
	w.Break(sandbox.Fault{ContentType: "application/json", Body: []byte(`{"id":43,"run_attempt":2}`)})
	if r, err := w.client.Run(t.Context(), widget, 42, 2); err == nil {
		t.Errorf("an answer about another run: %+v", r)
	}
}
