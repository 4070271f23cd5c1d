package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Logs says which transparency logs are followed, and from where. The logs themselves are those of the trusted roots.
type Logs struct {
	// Start is where a log is taken up that is not known yet.
	Start LogStart
	// CT and RekorV2 say whether logs of that kind are followed.
	CT, RekorV2 bool
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
	// Off leaves the log alone.
	Off bool
}

// LogStart is an index, or the head of the log at first sight.
type LogStart struct {
	Head  bool
	Index uint64
}

// String writes a start as the configuration does.
func (s LogStart) String() string {
	switch {
	case s.Head:
		return "head"
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

type (
	startText   struct{ word }
	modeText    struct{ word }
	logKindText struct{ word }
)

const startPattern = `^(head|zero|[0-9]{1,18})$`

type rawLogs struct {
	At      position        `yaml:"-"`
	Start   startText       `yaml:"start" jsonschema_description:"Where a log is taken up at first sight: head, zero or an index; head by default."`
	CT      modeText        `yaml:"ct" jsonschema_description:"Whether Fulcio's CT logs are followed: follow or off; follow by default. At today's pace they cost tens of gigabytes a day."`
	RekorV2 *rawMode        `yaml:"rekor_v2" jsonschema_description:"How Rekor v2 is read."`
	Each    entries[rawLog] `yaml:"each" jsonschema_description:"What is said of single logs, by their origin."`
}

type rawMode struct {
	At   position `yaml:"-"`
	Mode modeText `yaml:"mode" jsonschema:"required" example:"mode: follow" jsonschema_description:"follow or off."`
}

type rawLog struct {
	At    position    `yaml:"-"`
	URL   urlText     `yaml:"url" jsonschema_description:"Where the log is read, instead of where the trusted root says."`
	Kind  logKindText `yaml:"kind" jsonschema_description:"The log's protocol, where it cannot be told from the trusted root."`
	Start startText   `yaml:"start" jsonschema_description:"Where this log is taken up at first sight: head, zero or an index."`
	Mode  modeText    `yaml:"mode" jsonschema_description:"follow or off."`
}

func (v startText) parse(r *reporter) (LogStart, bool) {
	if !v.given() {
		return LogStart{}, false
	}
	if !matches(startPattern, v.text) {
		r.report(v.position, "write head, zero, or an index such as 1000000", "%q is not a place in a log", v.text)
		return LogStart{}, false
	}
	switch v.text {
	case "head":
		return LogStart{Head: true}, true
	case "zero":
		return LogStart{}, true
	}
	n, err := strconv.ParseUint(v.text, 10, 63)
	return LogStart{Index: n}, err == nil
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
	logs := Logs{Start: LogStart{Head: true}, CT: true, RekorV2: true}
	if raw == nil {
		return logs
	}
	if start, ok := raw.Start.parse(r.reporter); ok {
		logs.Start = start
	}
	if follow, ok := raw.CT.parse(r.reporter); ok {
		logs.CT = follow
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
			log.Off = !follow
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
	Start   string              `yaml:"start"`
	CT      string              `yaml:"ct"`
	RekorV2 shownMode           `yaml:"rekor_v2,flow"`
	Each    map[string]shownLog `yaml:"each,omitempty"`
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
	shown := shownLogs{Start: l.Start.String(), CT: mode(l.CT), RekorV2: shownMode{mode(l.RekorV2)}, Each: map[string]shownLog{}}
	for _, log := range l.Each {
		s := shownLog{URL: log.URL, Kind: log.Kind, Mode: mode(!log.Off)}
		if log.Start != nil {
			s.Start = log.Start.String()
		}
		shown.Each[log.Origin] = s
	}
	return shown
}
