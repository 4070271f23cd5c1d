package sandbox

import "fmt"

// shard is a shard of Rekor v2.
type shard struct {
	*Rekor2
	trusted bool // whether the trusted root names it
}

// ShardOptions describe a new shard of Rekor v2.
type ShardOptions struct {
	// Host is its name: the origin of its checkpoints.
	Host string
	// ECDSA gives it such a key, on P-256; Ed25519 is usual.
	ECDSA bool
	// Unannounced keeps it out of the trusted root.
	Unannounced bool
}

// AddShard opens a shard of Rekor v2, in a running world too, and publishes a trusted root that names it.
func (w *World) AddShard(o ShardOptions) (*Rekor2, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.shards {
		if s.origin == o.Host || o.Host == "" {
			return nil, fmt.Errorf("opening a shard: %q cannot be its name", o.Host)
		}
	}
	r, err := newRekor2(w.entropy, w.now, w.logger, o.Host, o.ECDSA, w.Fulcio)
	if err != nil {
		return nil, fmt.Errorf("opening the shard %s: %w", o.Host, err)
	}
	if w.started {
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	w.shards = append(w.shards, &shard{r, !o.Unannounced})
	return r, w.republishLocked()
}

// Freeze ends a log: it takes no more entries, and the trusted root says since when.
func (w *World) Freeze(l *Ledger) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.freeze()
	return w.republishLocked()
}

// Endpoints maps the URLs of the trusted root's logs, and of those that it does not name, to the addresses of their
// servers. It needs a started world.
func (w *World) Endpoints() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	endpoints := map[string]string{
		rekorURL:             w.Rekor.URL(),
		w.CT.baseURL():       w.CT.URL(),
		w.StaticCT.baseURL(): w.StaticCT.URL(),
	}
	for _, s := range w.shards {
		endpoints[s.baseURL()] = s.URL()
	}
	return endpoints
}
