package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// searchStore is the record of what the search index was asked, and of what it found.
type searchStore interface {
	// PlanSearches adds questions about what is new in the record: the digests of files, and the subjects and the final
	// certificates of chained certificates whose identity is watched. One about a subject that has got a newer certificate
	// is due at once, and so is one that found what concerned nobody by another watch list.
	PlanSearches(ctx context.Context, now time.Time, watchList string, watched func(identity.Identity) bool) error
	// DueSearch is the first question that is due, the freshest about identities before all others; nil if there is none.
	// Without subjects, questions about these are left out; urgent leaves out whatever is not about an identity that is as
	// fresh as since.
	DueSearch(ctx context.Context, now time.Time, q DueFilter) (*Search, error)
	// Found reports whether an entry that the index names was read already, with that watch list.
	Found(ctx context.Context, id rekor.V1ID, watchList string) (bool, error)
	// StatesFile reports whether one of the digests is that of a statement about a file of the record.
	StatesFile(ctx context.Context, hashes []rekor.Hash) (bool, error)
	// SaveFound keeps entries that were read, with the checkpoints that they were proven in.
	SaveFound(ctx context.Context, now time.Time, search int64, watchList string, found []Found, grown []tlog.SignedCheckpoint) error
	// SaveSearch keeps what became of a question.
	SaveSearch(ctx context.Context, now time.Time, s Search) error
	// Support is what is known of the index; the zero value before it was probed.
	Support(ctx context.Context) (IndexSupport, error)
	SaveSupport(ctx context.Context, s IndexSupport) error
	// Specimens are bodies of proven entries with their origins, the newest first, to probe the index with.
	Specimens(ctx context.Context, limit int) ([]rekor.V1Entry, error)
}

// The kinds of questions to the search index.
const (
	SearchDigest      = "digest"      // the hex SHA-256 of a file
	SearchSubject     = "subject"     // a whole subject alternative name
	SearchCertificate = "certificate" // the hex SHA-256 of a final certificate
)

// SearchOutcome says what became of a question.
type SearchOutcome string

// The outcomes. Of one that was never asked it is empty.
const (
	SearchAnswered   SearchOutcome = "answered"
	SearchRefused    SearchOutcome = "refused"    // the server does not take it
	SearchFailed     SearchOutcome = "failed"     // nobody knows
	SearchImpossible SearchOutcome = "impossible" // no server takes it
)

// Search is a question to the index.
type Search struct {
	ID          int64
	Kind, Value string
	// Certificate is the certificate that is asked for, in DER.
	Certificate []byte
	// FreshAt is how new what is asked for is: when a file was uploaded, or a certificate issued.
	FreshAt      time.Time
	FailingSince time.Time

	Outcome SearchOutcome
	// Hits counts the entries that the last answer named.
	Hits    int
	Failure string
	Due     time.Time
}

// query is the question as the index takes it.
func (s *Search) query() rekor.V1Query {
	switch s.Kind {
	case SearchSubject:
		return rekor.V1Query{Subject: s.Value}
	case SearchCertificate:
		return rekor.V1Query{Certificate: s.Certificate}
	}
	return rekor.V1Query{SHA256: s.Value}
}

// DueFilter says which questions may be asked now.
type DueFilter struct {
	Subjects bool
	// UrgentSince is the instant since which an identity is fresh, OnlyUrgent leaves everything else out.
	UrgentSince time.Time
	OnlyUrgent  bool
}

// Found is an entry that the index named, proven.
type Found struct {
	Entry *rekor.V1Entry
	Match rekor.V1Match
	// Hit is what it has to do with a watched name; nil for nothing.
	Hit *LogHit
}

// IndexSupport says whether the index knows subjects.
type IndexSupport struct {
	Subject  rekor.V1Support
	Why      string
	ProbedAt time.Time
	Due      time.Time
}

const (
	// urgentFor is how long a new identity goes before everything else.
	urgentFor = 24 * time.Hour
	// What is asked for is asked again after as long as it is old, within these bounds: an entry follows its certificate
	// within minutes, its row in the index may take longer, and what is found after years is still worth knowing.
	minAgain, maxAgain = 2 * time.Minute, 30 * 24 * time.Hour
	// A server may be upgraded any day; one whose answers told nothing is asked sooner.
	probeAgain, probeSoon = 24 * time.Hour, time.Hour
	// probeRequests is how many requests a probe takes at most.
	probeRequests = 4
	// specimens is how many entries of a kind a probe may try before the index counts as unknown.
	specimens = 2
)

// againAt is when to ask again for what was answered now.
func (s *Search) againAt(now time.Time) time.Time {
	return now.Add(min(max(now.Sub(s.FreshAt), minAgain), maxAgain))
}

// urgentSearches plans what is to be asked, and asks what is new about identities: a certificate in a watched name has perhaps
// signed something that nobody published.
func (p *rekor1Pass) urgentSearches(ctx context.Context) error {
	if err := p.plan(ctx); err != nil {
		return err
	}
	return p.search(ctx, true)
}

// searches asks what else is due, and about the identities that this brings.
func (p *rekor1Pass) searches(ctx context.Context) error {
	for {
		before := p.summary.Hits
		if err := p.search(ctx, false); err != nil || p.summary.Hits == before {
			return err
		}
		if err := p.plan(ctx); err != nil {
			return err
		}
	}
}

// plan adds questions about what is new in the record.
func (p *rekor1Pass) plan(ctx context.Context) error {
	err := p.Store.PlanSearches(ctx, p.Clock.Now(), p.Inspector.Watch.Hash(), func(id identity.Identity) bool { return searched(p.Inspector.Watch.Classify(id)) })
	failpoint.Hit("audit/searches-planned")
	return err
}

// searched reports whether entries of an identity are looked for: those of a watched name, and not of what only resembles or
// mentions it, which anybody may have made by the thousand.
func searched(m identity.WatchMatch) bool {
	return m.Class != identity.WatchNothing && m.Class != identity.WatchLookalike && m.Class != identity.WatchThirdParty
}

// maxRefusals is how many questions in a row a server may refuse before it is taken for one that has no index.
const maxRefusals = 3

// search asks what is due until nothing is, or the index does not answer: what is in it is no reason to leave the log alone.
func (p *rekor1Pass) search(ctx context.Context, urgent bool) error {
	if p.indexDown {
		return nil
	}
	support, err := p.support(ctx, !urgent)
	if err != nil {
		return err
	}
	p.summary.Subject = support.Subject
	for {
		now := p.Clock.Now()
		s, err := p.Store.DueSearch(ctx, now, DueFilter{Subjects: support.Subject == rekor.V1Supported, UrgentSince: now.Add(-urgentFor), OnlyUrgent: urgent})
		if err != nil || s == nil {
			return err
		}
		asked := p.ask(ctx, s)
		if ends(ctx, asked) {
			return asked
		}
		p.conclude(s, asked)
		if err := p.Store.SaveSearch(ctx, p.Clock.Now(), *s); err != nil {
			return err
		}
		failpoint.Hit("audit/search-answered")
		if p.indexDown {
			return nil
		}
	}
}

// conclude says what became of a question, and when it is to be asked again.
func (p *rekor1Pass) conclude(s *Search, asked error) {
	now := p.Clock.Now()
	if asked == nil {
		s.Outcome, s.Failure, s.Due = SearchAnswered, "", s.againAt(now)
		p.summary.Searches++
		p.refusals = 0
		return
	}
	s.Outcome, s.Failure, s.Due = SearchFailed, oneLine(asked.Error(), 400), retryAt(now, s.FailingSince)
	switch {
	case errors.Is(asked, rekor.ErrUnsearchable): // by anybody: no time will change it
		s.Outcome, s.Due = SearchImpossible, now.Add(maxAgain)
		return
	case rekor.Refused(asked):
		s.Outcome = SearchRefused
		p.refusals++
		p.indexDown = p.refusals == maxRefusals
	case !errors.As(asked, new(*unreadError)):
		p.indexDown = true
	}
	p.trouble("%v", asked)
}

// unreadError says that the index answered, and that entries which it names could not be proven.
type unreadError struct {
	n     int
	first error
}

func (e *unreadError) Error() string {
	return fmt.Sprintf("%d of the entries that the search index names could not be proven: %v", e.n, e.first)
}

// ask asks the index one question, and reads what it names and is not known yet. What was read is kept as it comes.
func (p *rekor1Pass) ask(ctx context.Context, s *Search) error {
	query := s.query()
	ids, truncated, err := p.log.Search(ctx, query)
	if err != nil {
		return err
	}
	if s.Hits = len(ids); truncated {
		p.trouble("the search index names more entries for %s than are taken", query)
	}
	watchList := p.Inspector.Watch.Hash()
	var fresh []rekor.V1ID
	for _, id := range ids {
		known, err := p.Store.Found(ctx, id, watchList)
		if err != nil {
			return &recordError{err}
		}
		if !known {
			fresh = append(fresh, id)
		}
	}
	unread := unreadError{}
	for batch := range slices.Chunk(fresh, entryPage) {
		answers, err := p.log.Entries(ctx, batch)
		if err != nil {
			return err
		}
		var found []Found
		for _, a := range answers {
			f, err := p.find(ctx, query, a)
			switch {
			case ends(ctx, err):
				return err
			case err != nil:
				if unread.n++; unread.first == nil {
					unread.first = err
				}
			default:
				found = append(found, f)
			}
		}
		if err := p.Store.SaveFound(ctx, p.Clock.Now(), s.ID, watchList, found, p.grown()); err != nil {
			return &recordError{err}
		}
		p.kept()
		failpoint.Hit("audit/entries-found")
	}
	if unread.n > 0 {
		return &unread
	}
	return nil
}

// find looks at an entry that the index named. Whether it is what was asked for is kept beside it: an entry that concerns a
// watched name does so however it was met.
func (p *rekor1Pass) find(ctx context.Context, q rekor.V1Query, a rekor.V1Answer) (Found, error) {
	if a.Err != nil {
		return Found{}, a.Err
	}
	if err := p.meet(ctx, a.Entry.Checkpoint); err != nil {
		return Found{}, err
	}
	f := Found{Entry: a.Entry, Match: q.Match(a.Entry)}
	if hit, ok := p.Inspector.Entry(a.Entry.Index, a.Entry.Body); ok {
		hit.GlobalIndex, hit.LoggedAt = a.Entry.GlobalIndex, a.Entry.IntegratedTime
		f.Hit = &hit
		p.summary.Hits++
		return f, nil
	}
	about, err := p.aboutFile(ctx, q, f)
	if err != nil || !about {
		return f, err
	}
	if hit, ok := p.Inspector.Foreign(a.Entry.Index, a.Entry.Body); ok {
		hit.GlobalIndex, hit.LoggedAt = a.Entry.GlobalIndex, a.Entry.IntegratedTime
		f.Hit = &hit
	}
	return f, nil
}

// aboutFile reports whether an entry that the index named for the digest of a file is about it. An entry of an envelope does not show
// that; where its statement is known that does.
func (p *rekor1Pass) aboutFile(ctx context.Context, q rekor.V1Query, f Found) (bool, error) {
	if q.SHA256 == "" || f.Match != rekor.V1Unconfirmed {
		return q.SHA256 != "" && f.Match == rekor.V1Confirmed, nil
	}
	entry, _ := rekor.Decode(f.Entry.Body) // of one that cannot be decoded in full, what can
	about, err := p.Store.StatesFile(ctx, entry.PayloadHashes)
	if err != nil {
		return false, &recordError{err}
	}
	return about, nil
}

// support says whether the index knows subjects. It is probed once in a while: with an entry of the record, or with whatever
// the log has.
func (p *rekor1Pass) support(ctx context.Context, whatever bool) (IndexSupport, error) {
	held, err := p.Store.Support(ctx)
	now := p.Clock.Now()
	if err != nil || !held.Due.IsZero() && now.Before(held.Due) {
		return held, err
	}
	candidates, err := p.candidates(ctx, whatever)
	if err != nil || len(candidates) == 0 && !whatever {
		return held, err
	}
	s := IndexSupport{Subject: rekor.V1Unknown, Why: "there is no entry to probe it with", ProbedAt: now, Due: now.Add(probeSoon)}
	for _, c := range candidates {
		if !p.meter.room(probeRequests) {
			return held, errSpent
		}
		if s.Subject, s.Why, err = p.log.ProbeSubject(ctx, c); err != nil {
			return held, err
		}
		if s.Subject != rekor.V1Unknown {
			s.Due = now.Add(probeAgain)
			break
		}
	}
	s.Why = oneLine(s.Why, 400)
	err = p.Store.SaveSupport(ctx, s)
	failpoint.Hit("audit/index-probed")
	return s, err
}

// candidates are entries to probe the index with: those that the record has, or else whatever the log had a while ago, so that
// the index must have its rows by now, and has last.
func (p *rekor1Pass) candidates(ctx context.Context, whatever bool) ([]rekor.V1Specimen, error) {
	held, err := p.Store.Specimens(ctx, specimens)
	if err != nil {
		return nil, err
	}
	var all []rekor.V1Specimen
	for i := range held {
		if s, ok := specimenOf(&held[i]); ok {
			all = append(all, s)
		}
	}
	const back = 1000 // entries, seconds ago at the pace of the public instance
	if len(all) > 0 || !whatever || p.summary.Size == 0 {
		return all, nil
	}
	last := p.summary.Size - 1
	for _, at := range []uint64{last - min(last, back), last} {
		var globals []uint64
		for i := range min(at+1, entryPage) {
			globals = append(globals, at-i)
		}
		answers, err := p.log.EntriesAt(ctx, globals)
		if ends(ctx, err) {
			return nil, err
		}
		of := 0
		for _, a := range answers { // none after an error: then it stays unknown
			if s, ok := specimenOf(a.Entry); ok && of < specimens {
				all = append(all, s)
				of++
			}
		}
	}
	return all, nil
}

// specimenOf makes a specimen of an entry that has a subject and a digest.
func specimenOf(e *rekor.V1Entry) (rekor.V1Specimen, bool) {
	if e == nil {
		return rekor.V1Specimen{}, false
	}
	subject, digest, ok := rekor.SubjectAndDigest(e.Body)
	return rekor.V1Specimen{Entry: e, Subject: subject, SHA256: digest}, ok
}
