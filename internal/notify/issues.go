package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Issues keeps one issue a finding in a repository on GitHub, or one for several of a release: its text shows how the finding
// stands, a comment tells each change, and it is closed when nothing of it is open and opened again when something is. The
// token is a secret. Issues are as public as the repository is.
//
// It can tell what it took: each text carries its parcel's id in a comment that is not shown.
type Issues struct {
	name, repository, token, api string
	client                       *http.Client
}

// issueLabel marks the issues that are this program's.
const issueLabel = "rekoncile"

// NewIssues makes the channel over GitHub's API, which is at https://api.github.com where api is "".
func NewIssues(name, repository, token, api string, client *http.Client) *Issues {
	if api == "" {
		api = "https://api.github.com"
	}
	return &Issues{name: name, repository: repository, token: token, api: strings.TrimRight(api, "/"), client: client}
}

// Name implements Channel.
func (g *Issues) Name() string { return g.name }

// issue is what is read and written of an issue or a comment.
type issue struct {
	Number int      `json:"number,omitempty"`
	Title  string   `json:"title,omitempty"`
	Body   string   `json:"body"`
	State  string   `json:"state,omitempty"`
	Labels []string `json:"labels,omitempty"`
}

// Send implements Channel. The issue is brought up to date before the comment is made: doing that twice does no harm.
func (g *Issues) Send(ctx context.Context, p Parcel) (string, error) {
	if number, ok := g.parseThread(p.Thread); ok {
		n := p.Standing()
		state := "open"
		if p.Over() {
			state = "closed"
		}
		err := g.call(ctx, http.MethodPatch, "/issues/"+strconv.Itoa(number), issue{Title: issueTitle(n), Body: issueBody(n, ""), State: state}, nil)
		var gone *goneError
		if err == nil {
			return p.Thread, g.call(ctx, http.MethodPost, fmt.Sprintf("/issues/%d/comments", number), issue{Body: issueBody(p.Notice(), p.ID())}, nil)
		}
		if !errors.As(err, &gone) {
			return "", err
		}
	}
	n := p.Notice()
	var made issue
	if err := g.call(ctx, http.MethodPost, "/issues", issue{Title: issueTitle(n), Body: issueBody(n, p.ID()), Labels: []string{issueLabel}}, &made); err != nil {
		return "", err
	}
	return g.thread(p, made.Number), nil
}

// thread names an issue, "" where nothing is to follow it.
func (g *Issues) thread(p Parcel, number int) string {
	if p.Form == Digest || p.Form == Summary {
		return ""
	}
	return g.repository + "#" + strconv.Itoa(number)
}

// parseThread reads an issue of this repository: after another was configured, findings begin anew there.
func (g *Issues) parseThread(thread string) (int, bool) {
	text, ok := strings.CutPrefix(thread, g.repository+"#")
	number, err := strconv.Atoi(text)
	return number, ok && err == nil
}

// Took implements Teller.
func (g *Issues) Took(ctx context.Context, p Parcel) (string, bool, error) {
	const margin = 5 * time.Minute // GitHub's clock is not ours
	q := url.Values{"since": {earliest(p).Add(-margin).UTC().Format(time.RFC3339)}, "per_page": {"100"}}
	path := "/issues"
	number, commented := g.parseThread(p.Thread)
	if commented {
		path = fmt.Sprintf("/issues/%d/comments", number)
	} else {
		q.Set("state", "all")
		q.Set("labels", issueLabel)
	}
	var found []issueRead
	if err := g.call(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &found); err != nil {
		return "", false, err
	}
	for _, i := range found {
		if strings.Contains(i.Body, issueMark(p.ID())) {
			if commented {
				return p.Thread, true, nil
			}
			return g.thread(p, i.Number), true, nil
		}
	}
	if len(found) == 100 {
		return "", false, errCannotTell
	}
	return "", false, nil
}

// issueRead is what is read of an issue or a comment in a list.
type issueRead struct {
	Number int    `json:"number"`
	Body   string `json:"body"`
}

// goneError says that an issue is not there any more, or cannot be written.
type goneError struct{ error }

func (e *goneError) Unwrap() error { return e.error }

// call makes a request of the API below the repository.
func (g *Issues) call(ctx context.Context, method, path string, body any, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return &Error{Err: err, NotTaken: true, OnlyThis: true}
		}
	}
	header := http.Header{"Authorization": {"Bearer " + g.token}, "Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {"2022-11-28"}, "Content-Type": {"application/json"}, "User-Agent": {"rekoncile"}}
	a, err := exchange(ctx, g.client, method, g.api+"/repos/"+g.repository+path, header, text)
	if err != nil {
		return unanswered("github", err, g.token)
	}
	if !a.success() {
		return g.refused(method, a)
	}
	if into != nil {
		if err := json.Unmarshal(a.body, into); err != nil {
			return &Error{Err: errors.New("github: its answer is no JSON")}
		}
	}
	return nil
}

// refused says what is known of an answer that is no success. GitHub's limits are 403s and 429s with Retry-After, or with no
// requests left until X-RateLimit-Reset (docs.github.com, "Rate limits for the REST API").
func (g *Issues) refused(method string, a *answer) error {
	var said struct {
		Message string `json:"message"`
	}
	e := refusedBy("github", a)
	if json.Unmarshal(a.body, &said) == nil && said.Message != "" {
		e.Err = fmt.Errorf("github answered %d: %s", a.status, redact(cut(visible(said.Message), 200), g.token))
	}
	if reset, err := strconv.ParseInt(a.header.Get("X-Ratelimit-Reset"), 10, 64); err == nil && a.header.Get("X-Ratelimit-Remaining") == "0" && e.RetryAfter == 0 {
		if now, err := http.ParseTime(a.header.Get("Date")); err == nil {
			e.RetryAfter = max(0, time.Unix(reset, 0).Sub(now))
		}
	}
	if method == http.MethodPatch && (a.status == http.StatusNotFound || a.status == http.StatusGone) {
		return &goneError{e}
	}
	return e
}

// issueTitle is a title: plain text, in which GitHub interprets nothing but code spans.
func issueTitle(n Notice) string {
	const limit = 250
	return cutMiddle(strings.ReplaceAll(n.Title+": "+n.Sentence, "`", "'"), limit)
}

// issueBody is a text in Markdown. Whatever comes from outside stands in one fenced block, in which GitHub makes no mention,
// no link and no markup; its fence is longer than any run of backticks in it.
func issueBody(n Notice, id string) string {
	links := n.Links
	n.Links = nil
	text := n.text(maxText, asItIs)
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	var b strings.Builder
	b.WriteString(fence + "text\n" + text + fence + "\n")
	for _, l := range links {
		b.WriteString("\n[" + l.Label + "](" + l.URL + ")")
	}
	if id != "" {
		b.WriteString("\n\n" + issueMark(id) + "\n")
	}
	return b.String()
}

// issueMark carries a parcel's id where nobody reads it.
func issueMark(id string) string { return "<!-- " + id + " -->" }
