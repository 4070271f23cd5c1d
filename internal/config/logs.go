package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/formats/note"
)

// Logs says which transparency logs are followed, and from where. The logs themselves are those of the trusted roots.
type Logs struct {
	// Start is where a log is taken up that is not known yet.
	Start LogStart
	// CT and RekorV2 say whether logs of that kind are followed.
	CT, RekorV2 bool
	// RekorV1 is how Rekor v1 is read: one of RekorV1Modes.
	RekorV1 string
	// KeepDigests is for how long it is kept what the entries of logs that are read in full say was signed; zero keeps nothing.
	KeepDigests time.Duration
	// Witnesses are the keys of witnesses as they are published (C2SP signed-note, "verifier key").
	Witnesses []string
	// Each holds what is said of single logs, sorted by origin.
	Each []Log
}

// Log is what is said of one log.
type Log struct {
	// Origin is the log's name: the first line of its checkpoints, or its URL without scheme in the trusted root.
	Origin string
	// URL replaces the trusted root's, for a mirror; "" leaves it.
	URL string
	// Kind is one of LogKinds, where it cannot be told from the trusted root; "" for what it tells.
	Kind string
	// Start replaces Logs.Start; nil leaves it.
	Start *LogStart
	// Off leaves the log alone; Asked says that it is asked for by name.
	Off, Asked bool
}

// LogStart is an index, a moment, or the head of the log at first sight.
type LogStart struct {
	Head  bool
	Index uint64
	// At is a moment, where the index is that of the first entry made at it or later; zero for none.
	At time.Time
}

// String writes a start as the configuration does.
func (s LogStart) String() string {
	switch {
	case s.Head:
		return "head"
	case !s.At.IsZero():
		return dateString(s.At)
	case s.Index == 0:
		return "zero"
	}
	return strconv.FormatUint(s.Index, 10)
}

// LogKinds are the protocols that logs are read with.
func LogKinds() []string { return []string{"rekor-v1", "rekor-v2", "ct-rfc6962", "ct-static"} }

// What mode keys may hold.
const (
	modeFollow = "follow"
	modeOff    = "off"
)

// How Rekor v1 is read.
const (
	RekorV1Indexed = "indexed" // entries that evidence or the search index name are fetched and proven
	RekorV1Window  = "window"  // and the ranges in which certificates that matter were valid are read in full
	RekorV1Full    = "full"    // every entry
	RekorV1Off     = modeOff
)

// RekorV1Modes are the ways to read Rekor v1.
func RekorV1Modes() []string {
	return []string{RekorV1Indexed, RekorV1Window, RekorV1Full, RekorV1Off}
}

type (
	startText   struct{ word }
	modeText    struct{ word }
	logKindText struct{ word }
	rekor1Text  struct{ word }
	witnessText struct{ word }
)

const (
	startPattern   = `^(head|zero|[0-9]{1,18}|[0-9]{4}-[0-9]{2}-[0-9]{2}(T.*)?)$`
	witnessPattern = `^[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$`
)

type rawLogs struct {
	At          position        `yaml:"-"`
	Start       startText       `yaml:"start" jsonschema_description:"Where a log is taken up at first sight: head, zero, an index, or a day or instant (RFC 3339); head by default."`
	CT          modeText        `yaml:"ct" jsonschema_description:"Whether Fulcio's CT logs are followed: follow or off; follow by default. At today's pace they cost tens of gigabytes a day."`
	Witnesses   []witnessText   `yaml:"witnesses" jsonschema_description:"Keys of witnesses (C2SP tlog-cosignature) as these publish them: NAME+HASH+KEY. Their cosignatures of checkpoints are verified and recorded."`
	KeepDigests durationText    `yaml:"keep_digests" jsonschema_description:"For how long it is kept, eight bytes an entry, what the entries of Rekor v2 (and of a Rekor v1 that is read in full) say was signed, such as 90d, so that signatures by others of files that are published later are found; nothing is kept by default."`
	RekorV1     *rawRekorV1     `yaml:"rekor_v1" jsonschema_description:"How Rekor v1 is read."`
	RekorV2     *rawMode        `yaml:"rekor_v2" jsonschema_description:"How Rekor v2 is read."`
	Each        entries[rawLog] `yaml:"each" jsonschema_description:"What is said of single logs, by their origin."`
}

type rawMode struct {
	At   position `yaml:"-"`
	Mode modeText `yaml:"mode" jsonschema:"required" example:"mode: follow" jsonschema_description:"follow or off."`
}

type rawRekorV1 struct {
	At   position   `yaml:"-"`
	Mode rekor1Text `yaml:"mode" jsonschema:"required" example:"mode: indexed" jsonschema_description:"indexed: what evidence or the search index names is fetched and proven, the default. window: the ranges in which certificates that matter were valid are read in full too. full: every entry is read, for private and small logs. off: nothing is."`
}

type rawLog struct {
	At    position    `yaml:"-"`
	URL   urlText     `yaml:"url" jsonschema_description:"Where the log is read, instead of where the trusted root says."`
	Kind  logKindText `yaml:"kind" jsonschema_description:"The log's protocol, where it cannot be told from the trusted root."`
	Start startText   `yaml:"start" jsonschema_description:"Where this log is taken up at first sight: head, zero, an index, or a day or instant."`
	Mode  modeText    `yaml:"mode" jsonschema_description:"follow or off."`
}

func (v startText) parse(r *reporter) (LogStart, bool) {
	if !v.given() {
		return LogStart{}, false
	}
	start, err := ParseLogStart(v.text)
	if err != nil {
		r.report(v.position, "write "+startForms, "%q is not a place in a log", v.text)
	}
	return start, err == nil
}

const startForms = "head, zero, an index such as 1000000, or a day such as 2026-11-01"

// ParseLogStart reads where a log is to be taken up: "head", "zero", an index, a day (UTC) or an instant (RFC 3339).
func ParseLogStart(text string) (LogStart, error) {
	switch text {
	case "head":
		return LogStart{Head: true}, nil
	case "zero":
		return LogStart{}, nil
	}
	if n, err := strconv.ParseUint(text, 10, 63); err == nil {
		return LogStart{Index: n}, nil
	}
	if at, ok := parseDate(text); ok {
		return LogStart{At: at}, nil
	}
	return LogStart{}, fmt.Errorf("%q is not a place in a log: write %s", text, startForms)
}

// parse returns a witness's key as it is published, if it is one that cosignatures can be verified with.
func (v witnessText) parse(r *reporter) (string, bool) {
	if !v.given() {
		return "", false
	}
	if _, err := note.NewVerifierForCosignatureV1(v.text); err != nil {
		r.report(v.position, "write NAME+HASH+KEY, as the witness publishes it", "%q is not the key of a witness", v.text)
		return "", false
	}
	return v.text, true
}

func (v modeText) parse(r *reporter) (follow, ok bool) {
	switch {
	case !v.given():
		return false, false
	case v.text != modeFollow && v.text != modeOff:
		r.report(v.position, suggest(v.text, []string{modeFollow, modeOff}), "%q is not a mode", v.text)
		return false, false
	}
	return v.text == modeFollow, true
}

func (v rekor1Text) parse(r *reporter) (string, bool) {
	switch {
	case !v.given():
		return "", false
	case !slices.Contains(RekorV1Modes(), v.text):
		r.report(v.position, suggest(v.text, RekorV1Modes()), "%q is not a mode", v.text)
		return "", false
	}
	return v.text, true
}

func (v logKindText) parse(r *reporter) (string, bool) {
	switch {
	case !v.given():
		return "", false
	case !slices.Contains(LogKinds(), v.text):
		r.report(v.position, suggest(v.text, LogKinds()), "%q is not a kind of log", v.text)
		return "", false
	}
	return v.text, true
}

// logs resolves the logs mapping; nil is one that is not there.
func (r *resolver) logs(raw *rawLogs, allowHTTP []string) Logs {
	logs := Logs{Start: LogStart{Head: true}, CT: true, RekorV1: RekorV1Indexed, RekorV2: true}
	if raw == nil {
		return logs
	}
	if start, ok := raw.Start.parse(r.reporter); ok {
		logs.Start = start
	}
	if follow, ok := raw.CT.parse(r.reporter); ok {
		logs.CT = follow
	}
	logs.Witnesses = distinct(r, raw.Witnesses)
	logs.KeepDigests, _ = raw.KeepDigests.parse(r.reporter)
	if raw.RekorV1 != nil {
		if mode, ok := raw.RekorV1.Mode.parse(r.reporter); ok {
			logs.RekorV1 = mode
		}
	}
	if raw.RekorV2 != nil {
		if follow, ok := raw.RekorV2.Mode.parse(r.reporter); ok {
			logs.RekorV2 = follow
		}
	}
	each := map[string]Log{}
	for _, item := range raw.Each {
		log := Log{Origin: item.key.text}
		if log.Origin == "" || strings.Contains(log.Origin, "://") {
			r.report(item.key.position, "write the log's name without a scheme, such as log2025-1.rekor.sigstore.dev", "%q is not a log's origin", log.Origin)
		}
		log.URL, _ = item.value.URL.parse(r.reporter, allowHTTP)
		log.Kind, _ = item.value.Kind.parse(r.reporter)
		if start, ok := item.value.Start.parse(r.reporter); ok {
			log.Start = &start
		}
		if follow, ok := item.value.Mode.parse(r.reporter); ok {
			log.Off, log.Asked = !follow, follow
		}
		each[log.Origin] = log
	}
	for _, origin := range slices.Sorted(maps.Keys(each)) {
		logs.Each = append(logs.Each, each[origin])
	}
	return logs
}

// Of returns what is said of one log, with what is said of all.
func (l Logs) Of(origin string) Log {
	i := slices.IndexFunc(l.Each, func(x Log) bool { return x.Origin == origin })
	log := Log{Origin: origin}
	if i >= 0 {
		log = l.Each[i]
	}
	if log.Start == nil {
		log.Start = &l.Start
	}
	return log
}

type shownLogs struct {
	Start       string              `yaml:"start"`
	CT          string              `yaml:"ct"`
	KeepDigests string              `yaml:"keep_digests,omitempty"`
	Witnesses   []string            `yaml:"witnesses,omitempty"`
	RekorV1     shownMode           `yaml:"rekor_v1,flow"`
	RekorV2     shownMode           `yaml:"rekor_v2,flow"`
	Each        map[string]shownLog `yaml:"each,omitempty"`
}

type shownMode struct {
	Mode string `yaml:"mode"`
}

type shownLog struct {
	URL   string `yaml:"url,omitempty"`
	Kind  string `yaml:"kind,omitempty"`
	Start string `yaml:"start,omitempty"`
	Mode  string `yaml:"mode,omitempty"`
}

func showLogs(l Logs) shownLogs {
	mode := func(follow bool) string {
		if follow {
			return modeFollow
		}
		return modeOff
	}
	shown := shownLogs{Start: l.Start.String(), CT: mode(l.CT), Witnesses: l.Witnesses, RekorV1: shownMode{l.RekorV1}, RekorV2: shownMode{mode(l.RekorV2)}, Each: map[string]shownLog{}}
	if l.KeepDigests > 0 {
		shown.KeepDigests = durationString(l.KeepDigests)
	}
	for _, log := range l.Each {
		s := shownLog{URL: log.URL, Kind: log.Kind}
		if log.Off || log.Asked {
			s.Mode = mode(log.Asked)
		}
		if log.Start != nil {
			s.Start = log.Start.String()
		}
		shown.Each[log.Origin] = s
	}
	return shown
}
