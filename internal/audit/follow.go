package audit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// LogStore is the record of one log.
type LogStore interface {
	tlog.Store[LogHit]
	seenStore
	// Reopened returns a store for the first range that was proven with another watch list than today's, and the range; a nil
	// store if there is none.
	Reopened(ctx context.Context) (store tlog.Store[LogHit], from, to uint64, err error)
	// Followed notes that a run came to its end, and Failed that the log could not be read: a run that fails after others
	// which did so goes on failing, though the log may answer some of its questions.
	Followed(ctx context.Context) error
	Failed(ctx context.Context, now time.Time, problem string) error
}

// LogTarget is one log to follow.
type LogTarget struct {
	Origin, Kind, URL string
	Source            tlog.Source
	Store             LogStore
	Scan              func(leaf []byte) bool
	Inspect           func(index uint64, leaf []byte) (LogHit, bool)
	// Digest is what is kept of what each leaf says was signed, for as long as KeepDigests, and Foreign inspects a leaf that may have
	// signed something published; Digest is nil where nothing is kept.
	Digest      func(leaf []byte) uint64
	KeepDigests time.Duration
	Foreign     func(index uint64, leaf []byte) (LogHit, bool)
	// Unknown counts the leaves scanned so far that this version cannot decode; may be nil.
	Unknown func() uint64
	// Start says where the log is taken up, given its size.
	Start func(ctx context.Context, size uint64) (uint64, error)
	// Until stops there; 0 is the log's end.
	Until uint64
	// FrozenAt is when the trusted root ended the log's validity; zero where it has not.
	FrozenAt time.Time
	// BatchEntries and ProveEntries are how many leaves a transaction covers at least, and how many are read at most before
	// they are proven: less than the follower's own of a log that gives few at a time. 0 leaves these.
	BatchEntries, ProveEntries uint64
	// Stop says that enough of it was read for now; may be nil. See [tlog.Follower].
	Stop func() bool
}

// LogSummary is what following one log gave.
type LogSummary struct {
	Origin string `json:"origin"`
	Kind   string `json:"kind"`
	// Size is that of the log's latest checkpoint.
	Size   uint64 `json:"size"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Proven uint64 `json:"proven"`
	Hits   int    `json:"hits"`
	Bytes  int64  `json:"bytes"`
	// Unknown counts the entries read that this version cannot decode. Those that mention a watched name are hits.
	Unknown uint64 `json:"unknown_entries,omitempty"`
	// Reread counts the entries that were read again, because they had been read with another watch list.
	Reread uint64 `json:"reread,omitempty"`
	// SeenAgain counts the entries that were read again, because they may sign something published.
	SeenAgain int `json:"seen_again,omitempty"`
	// Seconds is how long the run took.
	Seconds float64 `json:"seconds"`
	Stale   bool    `json:"stale_checkpoint,omitempty"`
	// Misbehaviours are rules about logs.
	Misbehaviours []string `json:"misbehaviours,omitempty"`
	Trouble       string   `json:"trouble,omitempty"`
}

// LogFollower follows logs, each by itself: the failure of one stops no other.
type LogFollower struct {
	Clock    clock.Clock
	Logger   *slog.Logger
	Parallel int
	// Reread reads again what was proven with another watch list than today's.
	Reread bool
	// Progress is told how many leaves of a log were read; may be nil. It is called from several goroutines.
	Progress func(origin string, leaves uint64)
}

// Follow makes one run over every target at once. The error is the record's or the context's; a log's trouble is in its
// summary.
func (f *LogFollower) Follow(ctx context.Context, targets []LogTarget) ([]LogSummary, error) {
	summaries := make([]LogSummary, len(targets))
	errs := make([]error, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() { summaries[i], errs[i] = f.follow(ctx, t) })
	}
	wg.Wait()
	return summaries, errors.Join(errs...)
}

func (f *LogFollower) follow(ctx context.Context, t LogTarget) (LogSummary, error) {
	began := f.Clock.Now()
	s, err := f.run(ctx, t)
	if err == nil && f.Reread && s.Trouble == "" && len(s.Misbehaviours) == 0 {
		err = f.reread(ctx, t, &s)
	}
	if err == nil && s.Trouble == "" && len(s.Misbehaviours) == 0 {
		err = f.seenAgain(ctx, t, &s)
	}
	if t.Unknown != nil {
		s.Unknown = t.Unknown()
	}
	s.Seconds = f.Clock.Now().Sub(began).Seconds()
	return s, err
}

// run follows a log to its head.
func (f *LogFollower) run(ctx context.Context, t LogTarget) (LogSummary, error) {
	follower := f.follower(t)
	out, err := follower.Follow(ctx, t.Until)
	s := LogSummary{Origin: t.Origin, Kind: t.Kind, Size: out.Checkpoint.Size, From: out.From, To: out.To, Proven: out.Proven,
		Hits: out.Hits, Bytes: out.Bytes, Stale: out.Stale}
	for _, m := range out.Misbehaviours {
		s.Misbehaviours = append(s.Misbehaviours, string(m.Kind))
	}
	switch {
	case err == nil:
		return s, t.Store.Followed(ctx)
	case ctx.Err() != nil:
		return s, err
	}
	s.Trouble = oneLine(err.Error(), 400)
	f.Logger.Warn("log could not be followed to its end", "log", t.Origin, "error", err)
	return s, t.Store.Failed(ctx, f.Clock.Now(), err.Error())
}

// follower makes the follower of a log.
func (f *LogFollower) follower(t LogTarget) *tlog.Follower[LogHit] {
	follower := &tlog.Follower[LogHit]{Source: t.Source, Store: t.Store, Scan: t.Scan, Inspect: t.Inspect, Digest: t.Digest, Start: t.Start, FrozenAt: t.FrozenAt,
		BatchEntries: t.BatchEntries, ProveEntries: t.ProveEntries, Stop: t.Stop, Clock: f.Clock, Logger: f.Logger.With("log", t.Origin), Parallel: f.Parallel}
	if f.Progress != nil {
		follower.Progress = func(leaves uint64) { f.Progress(t.Origin, leaves) }
	}
	return follower
}

// rereadEntries is how many entries are read again before they are proven: until then, what was found is in memory.
const rereadEntries = 16_384

// reread reads again what was proven with another watch list, and proves it again: of what was proven, the record has no
// hashes.
func (f *LogFollower) reread(ctx context.Context, t LogTarget, s *LogSummary) error {
	state, err := t.Store.State(ctx)
	if err != nil {
		return err
	}
	for {
		store, from, to, err := t.Store.Reopened(ctx)
		if err != nil || store == nil {
			return err
		}
		follower := f.follower(t)
		follower.Source, follower.Store = heldSource{t.Source, state.Checkpoint}, store
		follower.Start = func(context.Context, uint64) (uint64, error) { return from, nil }
		follower.BatchEntries, follower.ProveEntries = rereadEntries, rereadEntries
		out, err := follower.Follow(ctx, to)
		s.Reread += max(out.Proven, from) - from
		s.Hits, s.Bytes = s.Hits+out.Hits, s.Bytes+out.Bytes
		for _, m := range out.Misbehaviours {
			s.Misbehaviours = append(s.Misbehaviours, string(m.Kind))
		}
		switch {
		case err == nil && out.Proven < to: // it misbehaved
			return nil
		case err != nil && ctx.Err() == nil:
			s.Trouble = oneLine(err.Error(), 400)
			f.Logger.Warn("log could not be read again", "log", t.Origin, "from", from, "to", to, "error", err)
			return nil
		case err != nil:
			return err
		}
	}
}

// heldSource is a log as of a checkpoint that was verified before.
type heldSource struct {
	tlog.Source
	checkpoint tlog.SignedCheckpoint
}

func (h heldSource) Checkpoint(context.Context) (tlog.SignedCheckpoint, error) {
	return h.checkpoint, nil
}

// LogRecord is the record as judging the logs uses it.
type LogRecord interface {
	Logs(ctx context.Context) ([]LogFacts, error)
	// Account works out who signed what is new in the record, and what accounts for the entries of which that may have changed.
	Account(ctx context.Context) error
	// Signers calls fn for each signer in the record.
	Signers(ctx context.Context, fn func(SignerFacts) error) error
	// HitsOf calls fn for each hit that a verified root commits to and that one of the signers signed, that cannot be decoded, or
	// whose certificates chain to nothing.
	HitsOf(ctx context.Context, signers []int64, fn func(HitFacts) error) error
	// OpenJobs calls fn for each job of one of the signers that signed proven entries which nothing accounts for in full.
	OpenJobs(ctx context.Context, signers []int64, fn func(JobFacts) error) error
	// JobEntries lists the first few of these entries.
	JobEntries(ctx context.Context, job int64, limit int) ([]EntryRef, error)
	// ForeignEntries calls fn for each proven entry by one of the signers, or by a key, that signs a file of the record or a statement
	// about one; signers that the configuration has watched are left out.
	ForeignEntries(ctx context.Context, signers []int64, fn func(ForeignFacts) error) error
	// ReleasesRead lists the index projects in the record.
	ReleasesRead(ctx context.Context) ([]ReleasesRead, error)
	// BrokenPromises calls fn for each promise of a CT log that was needed and was not shown to be kept.
	BrokenPromises(ctx context.Context, fn func(PromiseFacts) error) error
	// ProvenHits calls fn for each hit that a verified root commits to.
	ProvenHits(ctx context.Context, fn func(HitFacts) error) error
	// OpenCertificates calls fn for each certificate that a CT log shows in a watched project's own name and of which it may be
	// that nothing is known that it signed, in the order in which the record met them.
	OpenCertificates(ctx context.Context, fn func(CertificateFacts) error) error
	// OpenEntries calls fn for each entry that a verified attestation names and of which it is not known that the log has it
	// so, once it was asked.
	OpenEntries(ctx context.Context, fn func(OpenEntry) error) error
	// TrustedRoots are those that were used last.
	TrustedRoots(ctx context.Context) ([]TrustedRoot, error)
	SettleLogs(ctx context.Context, now time.Time, a Assessment, channels []string) ([]Change, error)
}

// LogStanding is what the trusted roots and the configuration say of a log. The zero value is a log that is followed and open.
type LogStanding struct {
	// Frozen says that the trusted root ended the log's validity: it is not expected to grow.
	Frozen bool
	// NotFollowed says that nobody asks the log any more: that it cannot be reached is no trouble then. Why says why.
	NotFollowed bool
	Why         string
	// Windowed says that windows of it are to be read.
	Windowed bool
	// LogKind is the log's kind, EndedAt when the trusted root ended its validity, and WatchList names the list that its leaves
	// are read with today; empty where that is not known.
	LogKind   string
	EndedAt   time.Time
	WatchList string
}

// SettleLogs judges every log, every proven hit, every certificate, every job and the trusted roots, and writes what came of it.
func SettleLogs(ctx context.Context, record LogRecord, rules RuleSet, policies map[string]identity.Policy, standings map[string]LogStanding, now time.Time, channels []string) ([]Change, error) {
	j := &Judge{Rules: rules, Now: now.UTC().Truncate(time.Microsecond)}
	if err := record.Account(ctx); err != nil {
		return nil, err
	}
	var a Assessment
	logs, err := record.Logs(ctx)
	if err != nil {
		return nil, err
	}
	logs = standing(logs, standings)
	for _, l := range logs {
		a.merge(j.Log(l))
	}
	if err := record.OpenEntries(ctx, func(e OpenEntry) error {
		a.merge(j.Entry(e))
		return nil
	}); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	// The same certificate may be met in CT and in several entries, and be promised to several logs: the first tells.
	add := func(judged Assessment) {
		a.Waiting, a.Unknowns = append(a.Waiting, judged.Waiting...), append(a.Unknowns, judged.Unknowns...)
		for _, f := range judged.Findings {
			if key := Key(f.Rule, f.Subject); !seen[key] {
				seen[key] = true
				a.Findings = append(a.Findings, f)
			}
		}
	}
	if err := j.signed(ctx, record, policies, add); err != nil {
		return nil, err
	}
	canary := newCertificateCanary(policies)
	if err := canary.look(ctx, record); err != nil {
		return nil, err
	}
	a.merge(canary.judge(j, logs))
	roots, err := record.TrustedRoots(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range roots {
		a.merge(j.TrustRoot(r))
	}
	if err := record.BrokenPromises(ctx, func(p PromiseFacts) error { add(j.Promise(p, policies)); return nil }); err != nil {
		return nil, err
	}
	if err := record.OpenCertificates(ctx, func(c CertificateFacts) error { add(j.Certificate(c, logs, policies)); return nil }); err != nil {
		return nil, err
	}
	changes, err := record.SettleLogs(ctx, j.Now, a, channels)
	failpoint.Hit("audit/logs-settled")
	return changes, err
}

// signed judges what was signed, by whom. A signer is judged once, however often it signed: of the hits, only those are looked at
// whose signers no grade knows, and of the jobs, those of signers whose entries must be accounted for.
func (j *Judge) signed(ctx context.Context, record LogRecord, policies map[string]identity.Policy, add func(Assessment)) error {
	releases, err := record.ReleasesRead(ctx)
	if err != nil {
		return err
	}
	var loud, weighty, strangers []int64
	signers := map[int64]Signer{}
	if err := record.Signers(ctx, func(f SignerFacts) error {
		s := j.Signer(f, policies, releases)
		if s.Class != identity.ClassSelf || len(s.Grades) == 0 {
			loud = append(loud, s.ID)
		}
		if stranger(f, policies) {
			strangers = append(strangers, s.ID)
		}
		if s.Weighty {
			weighty, signers[s.ID] = append(weighty, s.ID), s
		}
		return nil
	}); err != nil {
		return err
	}
	if err := record.HitsOf(ctx, loud, func(h HitFacts) error { add(j.Hit(h, policies)); return nil }); err != nil {
		return err
	}
	var met Strangers
	if err := record.ForeignEntries(ctx, strangers, func(f ForeignFacts) error { met.Add(f, policies); return nil }); err != nil {
		return err
	}
	add(j.Strangers(&met))
	return record.OpenJobs(ctx, weighty, func(f JobFacts) error {
		s := signers[f.Signer]
		var entries []EntryRef
		if j.JobState(f, s).OpenState == OpenUnaccounted {
			var err error
			if entries, err = record.JobEntries(ctx, f.ID, shownEntries); err != nil {
				return err
			}
		}
		add(j.Job(f, s, entries))
		return nil
	})
}
