package sandbox

import (
	"fmt"
	"time"
)

// The sizes of a log that lies: what was read of it before, and what it has grown to since.
const knownSize, lyingSize = 500, 700

// logCases are about logs that are followed to their end, each of which was honest until it was knownSize entries long.
func logCases() []Case {
	rekor2 := growing{rekor2Host, func(w *World) (*Ledger, func(uint64) error) { return w.Rekor2.Ledger, w.Rekor2.AddBulk }}
	rfc6962 := growing{ctHost, func(w *World) (*Ledger, func(uint64) error) { return w.CT.Ledger, w.CT.AddBulk }}
	static := growing{staticCTHost, func(w *World) (*Ledger, func(uint64) error) { return w.StaticCT.Ledger, w.StaticCT.AddBulk }}

	frozen := Case{Name: "frozen-log", About: "The trusted root says that a shard has ended, and it has.", Project: onnxProject, Log: rekor2Host,
		Tempts: "frozen-log-grew", Passes: 2, Alone: true, Prepare: rekor2.to(knownSize), Apply: func(w *World) error { return w.Freeze(w.Rekor2.Ledger) }}
	thawed := Case{Name: "frozen-log-grew", About: "A shard that the trusted root says has ended goes on.", Project: onnxProject, Log: rekor2Host,
		Rule: "frozen-log-grew", Passes: 2, Alone: true, Prepare: rekor2.to(knownSize), Apply: func(w *World) error {
			if err := w.Freeze(w.Rekor2.Ledger); err != nil {
				return err
			}
			_, err := w.Rekor2.Tell(GrowthAfterFreeze, 3)
			return err
		}}
	stale := rekor2.tells(StaleCheckpoint, 0, "stale-log", "A log shows the same tree for more than a day.", "stale-log").after(beyondMergeDelay)
	slow := rekor2.tells(StaleCheckpoint, 0, "slow-log", "A log shows the same tree for half a day.", "").tempts("stale-log").after(12 * time.Hour)

	return shownBy(Logs, []Case{
		rekor2.tells(WrongKey, 0, "wrong-key", "A log's checkpoint is signed by another key than its own.", "bad-checkpoint"),
		static.tells(WrongOrigin, 0, "wrong-origin", "A log's checkpoint is in the name of another log.", "bad-checkpoint"),
		rekor2.tells(SmallerCheckpoint, 400, "cached-checkpoint", "A cache serves a log's tree as it was a while ago.", "").tempts("bad-checkpoint"),
		rfc6962.tells(Rollback, 384, "rolled-back", "A log goes back to a smaller tree, whose last entry is another than it was.", "log-rollback"),
		rfc6962.tells(SmallerCheckpoint, 400, "older-tree-head", "A log's server that is behind serves an older tree head.", "").tempts("log-rollback"),
		static.tells(ForkedTree, 100, "forked", "A log rewrites an entry of its past, and all that follows from it fits together.", "log-fork"),
		static.tellsOnce(WrongProof, 0, "garbled-tiles", "A log's hash tiles fit no root for a while: nothing is proven by that.", "").tempts("log-fork"),
		rekor2.tells(MissingLeaf, 620, "missing-entry", "A log leaves an entry out of what it serves; its tree has it.", "entries-mismatch"),
		static.tells(SwappedLeaves, 600, "swapped-entries", "A log serves two entries in each other's place.", "entries-mismatch"),
		rfc6962.tells(ShortPage, 620, "short-page", "A log serves fewer entries than it was asked for, as it may.", "").tempts("entries-mismatch"),
		thawed, frozen, stale, slow,
	})
}

// growing is a log that a case makes grow.
type growing struct {
	origin string
	of     func(*World) (*Ledger, func(uint64) error)
}

// to grows the log to a size.
func (g growing) to(size uint64) func(*World) error {
	return func(w *World) error {
		log, add := g.of(w)
		have := log.Size()
		if have > size {
			return fmt.Errorf("log %s has %d entries already", g.origin, have)
		}
		return add(size - have)
	}
}

// tells is a case of a log that lies once it has grown.
func (g growing) tells(lie Lie, n uint64, name, about, rule string) Case {
	c, _ := g.lying(lie, n, name, about, rule)
	return c
}

// tellsOnce is one of a log that tells the truth again after one pass.
func (g growing) tellsOnce(lie Lie, n uint64, name, about, rule string) Case {
	c, mend := g.lying(lie, n, name, about, rule)
	c.Passes, c.Confirm = 3, mend
	return c
}

func (g growing) lying(lie Lie, n uint64, name, about, rule string) (c Case, mend func(*World) error) {
	var mended func()
	return Case{
		Name: name, About: about, Project: onnxProject, Log: g.origin, Rule: rule, Passes: 2, Alone: true, Prepare: g.to(knownSize),
		Apply: func(w *World) (err error) {
			log, _ := g.of(w)
			if lie != StaleCheckpoint { // that is the present one, for ever
				err = g.to(lyingSize)(w)
			}
			if err == nil {
				mended, err = log.Tell(lie, n)
			}
			return err
		},
	}, func(*World) error { mended(); return nil }
}
