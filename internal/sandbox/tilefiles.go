package sandbox

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// tileWidth is the number of hashes or entries in a full tile.
const tileWidth = 256

// tileFile is a tile by its path: "tile/<name>/<index>[.p/<width>]" (C2SP tlog-tiles). The name is a tile level, or says
// what the tile has in it.
type tileFile struct {
	name  string
	index uint64
	width uint64 // tileWidth for a full one
}

func (t tileFile) path() string {
	index := fmt.Sprintf("%03d", t.index%1000)
	for n := t.index / 1000; n > 0; n /= 1000 {
		index = fmt.Sprintf("x%03d/%s", n%1000, index)
	}
	if t.width < tileWidth {
		index += fmt.Sprintf(".p/%d", t.width)
	}
	return "tile/" + t.name + "/" + index
}

// parseTileFile reads a path. Only the one spelling of a tile that the specification gives is a file.
func parseTileFile(path string) (tileFile, bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	name, rest, more := strings.Cut(rest, "/")
	if !ok || !more {
		return tileFile{}, false
	}
	t := tileFile{name: name, width: tileWidth}
	if index, width, partial := strings.Cut(rest, ".p/"); partial {
		n, err := strconv.ParseUint(width, 10, 8)
		if err != nil || n == 0 {
			return tileFile{}, false
		}
		rest, t.width = index, n
	}
	digits := strings.ReplaceAll(strings.ReplaceAll(rest, "x", ""), "/", "")
	index, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return tileFile{}, false
	}
	t.index = index
	return t, t.path() == path
}

// hashTile renders a hash tile of the view; false where the tree does not have it.
func (v view) hashTile(t tileFile) ([]byte, bool) {
	tileLevel, err := strconv.ParseUint(t.name, 10, 3)
	level := int(tileLevel) * 8
	if err != nil || level >= len(v.tree.levels) || strconv.FormatUint(tileLevel, 10) != t.name {
		return nil, false
	}
	nodes := v.tree.levels[level]
	first := t.index * tileWidth
	if first+t.width > uint64(len(nodes)) {
		return nil, false
	}
	body := make([]byte, 0, t.width*32)
	for i, hash := range nodes[first : first+t.width] {
		if v.node != nil {
			hash = v.node(uint(level), first+uint64(i), hash)
		}
		body = append(body, hash...)
	}
	return body, true
}

// entryTile renders a tile of entries; false where the tree does not have it.
func (v view) entryTile(t tileFile, render func(tile []byte, e logEntry) []byte) ([]byte, bool) {
	first := t.index * tileWidth
	if first+t.width > v.tree.size() {
		return nil, false
	}
	end := first + t.width
	if v.withheld != nil {
		end -= v.withheld(first, end)
	}
	var body []byte
	for i := first; i < end; i++ {
		body = render(body, v.entry(i))
		if i == first {
			// The entries of a tile are much of a size.
			body = append(make([]byte, 0, (len(body)+64)*int(t.width)), body...)
		}
	}
	return body, true
}

// serveTiles serves a checkpoint, hash tiles, and tiles of entries by the name that the protocol has for them, from paths
// without a slash in front. Tiles that are ahead of the checkpoint are there too, as they are in a log's storage.
func (l *Ledger) serveTiles(w http.ResponseWriter, q *http.Request, path, entries string, render func(tile []byte, e logEntry) []byte) {
	if path == "checkpoint" {
		head, err := l.Head()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		writeBytes(w, "text/plain; charset=utf-8", head)
		return
	}
	t, ok := parseTileFile(path)
	if !ok {
		http.NotFound(w, q)
		return
	}
	body, compress, ok := l.tile(t, entries, render)
	if !ok {
		http.NotFound(w, q)
		return
	}
	w.Header().Set("Cache-Control", "max-age=604800,immutable")
	if compress && strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Encoding", "gzip")
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = z.Write(body)
		_ = z.Close()
		return
	}
	writeBytes(w, "application/octet-stream", body)
}

func (l *Ledger) tile(t tileFile, entries string, render func(tile []byte, e logEntry) []byte) (body []byte, compress, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	v := l.viewLocked()
	read := v.hashTile
	if t.name == entries {
		read = func(t tileFile) ([]byte, bool) { return v.entryTile(t, render) }
	}
	if l.pruned && t.width < tileWidth {
		if _, full := read(tileFile{t.name, t.index, tileWidth}); full {
			return nil, false, false
		}
	}
	body, ok = read(t)
	return body, l.gzip, ok
}

func writeBytes(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}
