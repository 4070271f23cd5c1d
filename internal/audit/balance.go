package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// Balance is the statement of a project's books for a period: of the certificates in its own name that CT logs show, of the entries
// that were signed with such certificates, and of its files, what accounts for each, and what is open. It says nothing of what was
// not looked at, which is in the [Coverage].
type Balance struct {
	Project string `json:"project"`
	// Since and Until bound the period, the end apart; zero for all that is on record. Certificates are of the period in which they
	// were issued, entries of that of their certificate, and files of that in which they were uploaded.
	Since        time.Time         `json:"since,omitzero"`
	Until        time.Time         `json:"until,omitzero"`
	Certificates Ledger            `json:"certificates"`
	Entries      Ledger            `json:"entries"`
	Files        map[FileState]int `json:"files"`
	// Text says the same in words.
	Text []string `json:"text"`
}

// Ledger is one side of the books: what is accounted for, and what is open, add up to the total.
type Ledger struct {
	Total     int           `json:"total"`
	Accounted []BalanceLine `json:"accounted"`
	Open      []BalanceLine `json:"open"`
}

// BalanceLine counts what is accounted for in one way, or open in one, of one grade.
type BalanceLine struct {
	// Kind is an Account, a CertificateState, an OpenState, or one of the kinds below.
	Kind  string `json:"kind"`
	Grade string `json:"grade"` // "none" where no grade knows the signer
	Count int    `json:"count"`
}

// The kinds of accounts that follow from the signer alone.
const (
	// PublishesNothing: the grade publishes nothing, or the signer is anybody's who calls a workflow of the project's.
	PublishesNothing = "publishes-nothing"
	// PublishesElsewhere: what the grade publishes is on no index that is looked at.
	PublishesElsewhere = "publishes-elsewhere"
)

// Tally counts certificates or entries of a signer.
type Tally struct {
	Signer  int64
	Account Account // of entries
	Count   int
}

// FileTally counts files of an index project.
type FileTally struct {
	Ref   string // "pypi/onnx"
	State FileState
	Count int
}

// BalanceRecord is the record as the balance uses it.
type BalanceRecord interface {
	LogRecord
	// EntryTallies and CertificateTallies count proven entries, and certificates that are known to have signed something, by
	// signer, of certificates that were issued in a period. A zero bound does not restrict.
	EntryTallies(ctx context.Context, since, until time.Time, fn func(Tally) error) error
	CertificateTallies(ctx context.Context, since, until time.Time, fn func(Tally) error) error
	// FileTallies counts files that were uploaded in a period; where the index does not tell when, that were first seen in it.
	FileTallies(ctx context.Context, since, until time.Time, fn func(FileTally) error) error
}

// Books is what balances are made by.
type Books struct {
	Record    BalanceRecord
	Rules     RuleSet
	Policies  map[string]identity.Policy
	Standings map[string]LogStanding
	Now       time.Time
}

// Balance states the books of each project for a period, in the order of their names. It is made of the record alone.
func (b Books) Balance(ctx context.Context, since, until time.Time) ([]Balance, error) {
	j := &Judge{Rules: b.Rules, Now: b.Now}
	s := statement{Judge: j, Books: b, since: since, until: until, signers: map[int64]Signer{}, projects: map[string]*Balance{}}
	for name := range b.Policies {
		s.projects[name] = &Balance{Project: name, Since: since, Until: until, Files: map[FileState]int{}}
	}
	for _, part := range []func(context.Context) error{s.readSigners, s.readEntries, s.readCertificates, s.readFiles} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	all := []Balance{}
	for _, name := range slices.Sorted(maps.Keys(s.projects)) {
		balance := s.projects[name]
		balance.Certificates.close()
		balance.Entries.close()
		balance.Text = balance.words()
		all = append(all, *balance)
	}
	return all, nil
}

// statement is a balance in the making.
type statement struct {
	*Judge
	Books
	since, until time.Time
	signers      map[int64]Signer // of the projects' own
	projects     map[string]*Balance
}

// readSigners finds out who signs in the projects' own names.
func (s *statement) readSigners(ctx context.Context) error {
	releases, err := s.Record.ReleasesRead(ctx)
	if err != nil {
		return err
	}
	return s.Record.Signers(ctx, func(f SignerFacts) error {
		if signer := s.Signer(f, s.Policies, releases); signer.Project != "" {
			s.signers[f.ID] = signer
		}
		return nil
	})
}

// during reports whether something is of the period.
func (s *statement) during(at time.Time) bool {
	return !at.Before(s.since) && (s.until.IsZero() || at.Before(s.until))
}

// idle says why a signer's entries need no account of their own.
func (s Signer) idle() string {
	if len(s.Grades) > 0 && len(s.Unread) > 0 && len(s.Releases) == 0 {
		return PublishesElsewhere
	}
	return PublishesNothing
}

// readEntries counts entries: what is open of signers that matter is told by their jobs.
func (s *statement) readEntries(ctx context.Context) error {
	var weighty []int64
	for _, id := range slices.Sorted(maps.Keys(s.signers)) {
		if s.signers[id].Weighty {
			weighty = append(weighty, id)
		}
	}
	if err := s.Record.OpenJobs(ctx, weighty, func(f JobFacts) error {
		if !s.during(f.IssuedAt) {
			return nil
		}
		signer := s.signers[f.Signer]
		ledger, state := &s.projects[signer.Project].Entries, s.JobState(f, signer)
		switch state.OpenState {
		case OpenUnaccounted:
			ledger.open(string(OpenUnaccounted), signer.Grade(), state.Unaccounted)
			ledger.open(string(OpenUnknown), signer.Grade(), f.Open-state.Unaccounted)
		default:
			ledger.open(string(state.OpenState), signer.Grade(), f.Open)
		}
		return nil
	}); err != nil {
		return err
	}
	return s.Record.EntryTallies(ctx, s.since, s.until, func(t Tally) error {
		signer, own := s.signers[t.Signer]
		if !own {
			return nil
		}
		ledger := &s.projects[signer.Project].Entries
		switch t.Account {
		case AccountOpen, AccountPartly:
			if !signer.Weighty {
				ledger.account(signer.idle(), signer.Grade(), t.Count)
			}
		case AccountDisputed:
			ledger.open(string(AccountDisputed), signer.Grade(), t.Count)
		case AccountDue:
			ledger.open(string(OpenUnknown), signer.Grade(), t.Count)
		default:
			ledger.account(string(t.Account), signer.Grade(), t.Count)
		}
		return nil
	})
}

// readCertificates counts certificates that CT logs show.
func (s *statement) readCertificates(ctx context.Context) error {
	logs, err := s.Record.Logs(ctx)
	if err != nil {
		return err
	}
	logs = standing(logs, s.Standings)
	if err := s.Record.CertificateTallies(ctx, s.since, s.until, func(t Tally) error {
		if signer, own := s.signers[t.Signer]; own {
			s.projects[signer.Project].Certificates.account(string(CertificateAccounted), signer.Grade(), t.Count)
		}
		return nil
	}); err != nil {
		return err
	}
	return s.Record.OpenCertificates(ctx, func(c CertificateFacts) error {
		policy, ok := s.Policies[c.Project]
		if !ok || c.Identity == nil || !s.during(c.NotBefore) || c.Entries+c.Attestations > 0 {
			return nil
		}
		judged := policy.Judge(*c.Identity)
		state := OpenUnaccounted
		switch {
		case s.CertificateState(c) == CertificateSearched:
			state = OpenSearched
		case !weighty(judged, policy) && !searchedWhole(logs, c):
			state = OpenUnknown
		}
		s.projects[c.Project].Certificates.open(string(state), Signer{Judgement: judged}.Grade(), 1)
		return nil
	})
}

// readFiles counts the files that the projects ship.
func (s *statement) readFiles(ctx context.Context) error {
	return s.Record.FileTallies(ctx, s.since, s.until, func(t FileTally) error {
		for _, name := range slices.Sorted(maps.Keys(s.projects)) {
			if slices.ContainsFunc(s.Policies[name].Grades, func(g identity.Grade) bool { return slices.Contains(g.Publishes, t.Ref) }) {
				s.projects[name].Files[t.State] += t.Count
				break
			}
		}
		return nil
	})
}

func (l *Ledger) account(kind, grade string, n int) { add(&l.Accounted, kind, grade, n) }
func (l *Ledger) open(kind, grade string, n int)    { add(&l.Open, kind, grade, n) }

// add adds to a line, or begins it.
func add(lines *[]BalanceLine, kind, grade string, n int) {
	if n == 0 {
		return
	}
	if i := slices.IndexFunc(*lines, func(l BalanceLine) bool { return l.Kind == kind && l.Grade == grade }); i >= 0 {
		(*lines)[i].Count += n
		return
	}
	*lines = append(*lines, BalanceLine{Kind: kind, Grade: grade, Count: n})
}

// close orders the lines and adds them up.
func (l *Ledger) close() {
	for _, lines := range []*[]BalanceLine{&l.Accounted, &l.Open} {
		slices.SortFunc(*lines, func(a, b BalanceLine) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Grade, b.Grade)) })
		if *lines == nil {
			*lines = []BalanceLine{}
		}
		for _, line := range *lines {
			l.Total += line.Count
		}
	}
}

// words says the balance in sentences.
func (b *Balance) words() []string {
	var states []string
	total := 0
	for _, state := range slices.Sorted(maps.Keys(b.Files)) {
		states, total = append(states, fmt.Sprintf("%d %s", b.Files[state], state)), total+b.Files[state]
	}
	files := fmt.Sprintf("%s: files: %d", b.Project, total)
	if total > 0 {
		files += " = " + strings.Join(states, " + ")
	}
	return []string{
		fmt.Sprintf("%s: certificates in its own name: %s", b.Project, b.Certificates.words()),
		fmt.Sprintf("%s: entries signed with them: %s", b.Project, b.Entries.words()),
		files,
	}
}

// words says a side of the books in a line: "36 = 35 attestation (release) + open: 1 unknown (release)".
func (l Ledger) words() string {
	list := func(lines []BalanceLine) string {
		var texts []string
		for _, line := range lines {
			texts = append(texts, fmt.Sprintf("%d %s (%s)", line.Count, line.Kind, line.Grade))
		}
		return strings.Join(texts, " + ")
	}
	text := fmt.Sprint(l.Total)
	if len(l.Accounted) > 0 {
		text += " = " + list(l.Accounted)
	}
	switch {
	case len(l.Open) > 0 && len(l.Accounted) > 0:
		text += " + open: " + list(l.Open)
	case len(l.Open) > 0:
		text += " = open: " + list(l.Open)
	case l.Total > 0:
		text += ", none open"
	}
	return text
}
