package github

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxObject caps the answer about a single repository or run. One has some 20 kB.
const maxObject = 4 << 20

// Repository is what GitHub says of a repository today.
type Repository struct {
	// Name is OWNER/NAME as it is now: asked for by an old name, GitHub answers with the repository that bears it since.
	Name string
	// ID and OwnerID are decimal.
	ID, OwnerID string
	// Visibility is "public", "private" or "internal".
	Visibility string
}

// Repository asks for a repository by its name. The error is a *NotFoundError where GitHub shows none of that name.
func (c *Client) Repository(ctx context.Context, name string) (Repository, error) {
	address, err := c.repositoryURL(name)
	if err != nil {
		return Repository{}, fmt.Errorf("repository: %w", err)
	}
	var answer struct {
		ID         int64  `json:"id"`
		FullName   string `json:"full_name"`
		Private    bool   `json:"private"`
		Visibility string `json:"visibility"`
		Owner      struct {
			ID int64 `json:"id"`
		} `json:"owner"`
	}
	if _, err := c.get(ctx, address, maxObject, false, &answer); err != nil {
		if notFound(err) {
			return Repository{}, &NotFoundError{What: "repository " + name}
		}
		return Repository{}, fmt.Errorf("repository %s: %w", name, err)
	}
	if answer.ID <= 0 || answer.Owner.ID <= 0 || !repositoryName.MatchString(answer.FullName) {
		return Repository{}, fmt.Errorf("repository %s: GitHub's answer tells no id, no owner or no name", name)
	}
	r := Repository{Name: answer.FullName, ID: strconv.FormatInt(answer.ID, 10), OwnerID: strconv.FormatInt(answer.Owner.ID, 10), Visibility: answer.Visibility}
	if r.Visibility == "" {
		r.Visibility = map[bool]string{true: "private", false: "public"}[answer.Private]
	}
	return r, nil
}

// Run is one attempt of a workflow run.
type Run struct {
	ID, Attempt int64
	// Repository is OWNER/NAME, HeadSHA the commit in hex, Event what started it, Path the workflow's file in the repository.
	Repository, HeadSHA, Event, Path string
	// Status is "completed" once it ended, Conclusion then "success", "failure", "cancelled" and the like.
	Status, Conclusion string
	CreatedAt          time.Time
}

// Run asks for an attempt of a workflow run; the last one where attempt is 0. The error is a *NotFoundError where GitHub shows
// no such run: there never was one, or it was deleted, as GitHub does after some months.
func (c *Client) Run(ctx context.Context, repository string, id, attempt int64) (Run, error) {
	segments := []string{"actions", "runs", strconv.FormatInt(id, 10)}
	if attempt > 0 {
		segments = append(segments, "attempts", strconv.FormatInt(attempt, 10))
	}
	what := "run " + strings.Join(segments[2:], "/") + " of " + repository
	address, err := c.repositoryURL(repository, segments...)
	if err != nil {
		return Run{}, fmt.Errorf("%s: %w", what, err)
	}
	var answer struct {
		ID         int64     `json:"id"`
		RunAttempt int64     `json:"run_attempt"`
		HeadSHA    string    `json:"head_sha"`
		Event      string    `json:"event"`
		Path       string    `json:"path"`
		Status     string    `json:"status"`
		Conclusion string    `json:"conclusion"`
		CreatedAt  time.Time `json:"created_at"`
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
	}
	if _, err := c.get(ctx, address, maxObject, false, &answer); err != nil {
		if notFound(err) {
			return Run{}, &NotFoundError{What: what}
		}
		return Run{}, fmt.Errorf("%s: %w", what, err)
	}
	if answer.ID != id || attempt > 0 && answer.RunAttempt != attempt {
		return Run{}, fmt.Errorf("%s: GitHub's answer is about run %d, attempt %d", what, answer.ID, answer.RunAttempt)
	}
	path, _, _ := strings.Cut(answer.Path, "@")
	return Run{ID: answer.ID, Attempt: answer.RunAttempt, Repository: answer.Repository.FullName, HeadSHA: answer.HeadSHA, Event: answer.Event,
		Path: path, Status: answer.Status, Conclusion: answer.Conclusion, CreatedAt: answer.CreatedAt}, nil
}
