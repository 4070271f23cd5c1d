package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// judgingRules changes whenever judging the same facts by the same policy and rules may give other findings.
const judgingRules = "1"

// settledFor is how long a judgement stands of which nothing has changed.
const settledFor = 24 * time.Hour

// JudgedBy is what findings were settled by. It is stored as JSON.
type JudgedBy struct {
	// Facts names the facts, Basis what they were held against.
	Facts int64  `json:"facts"`
	Basis string `json:"basis"`
	// Until is when something may be judged otherwise although nothing has changed.
	Until time.Time `json:"until"`
	// The rest is what the summary said.
	Files    map[FileState]int `json:"files"`
	Releases int               `json:"releases"`
	Unread   map[string]int    `json:"unread"`
	Waiting  int               `json:"waiting"`
}

// basis names what facts are held against.
func (j *Judge) basis() (string, error) {
	text, err := json.Marshal(struct {
		Rules            string
		Policy           identity.Policy
		RuleSet          RuleSet
		RemovalsExpected bool
		StoreRead, First bool
	}{judgingRules, j.Policy, j.Rules, j.RemovalsExpected, j.StoreRead, j.First})
	if err != nil {
		return "", fmt.Errorf("naming the policy: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// settled reports whether the findings are settled: by the same facts and the same policy, and nothing was waiting whose time has
// come. Otherwise s says what they are about to be settled by.
func (c *collector) settled(ctx context.Context, j *Judge) (s JudgedBy, done bool, err error) {
	last, facts, err := c.Store.LastJudged(ctx, c.facts.ID)
	if err != nil {
		return s, false, err
	}
	if s.Basis, err = j.basis(); err != nil {
		return s, false, err
	}
	s.Facts = facts
	if last.Facts != s.Facts || last.Basis != s.Basis || !j.Now.Before(last.Until) || !c.options.Since.IsZero() {
		return s, false, nil
	}
	maps.Copy(c.summary.Files, last.Files)
	maps.Copy(c.summary.Unread, last.Unread)
	c.summary.Releases, c.summary.Waiting = last.Releases, last.Waiting
	return s, true, c.Store.StillJudged(ctx, j.Now, c.facts)
}

// keep adds to what findings are settled by what the summary says of it. What was in trouble is judged again.
func (s *JudgedBy) keep(j *Judge, a Assessment, summary *Summary, whole bool) {
	if len(summary.Troubles) > 0 || !whole {
		return
	}
	s.Until = j.Now.Add(settledFor)
	for _, w := range a.Waiting {
		if w.Until.Before(s.Until) {
			s.Until = w.Until
		}
	}
	s.Files, s.Unread, s.Releases, s.Waiting = summary.Files, summary.Unread, summary.Releases, summary.Waiting
}
