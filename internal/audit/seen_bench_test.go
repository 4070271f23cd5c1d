package audit_test

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkFollowDigests follows the same log with and without keeping what its entries say was signed, in turns: what that costs the
// processor, and how much longer the record is for it.
func BenchmarkFollowDigests(b *testing.B) {
	const size, parallel, rounds = 262_144, 8, 7
	log := serveBenchLog(b, size, 0)
	for b.Loop() {
		var cpu [2][]float64
		var bytes [2]float64
		for range rounds {
			for i := range cpu {
				task := benchTask{Do: "follow", Log: log, Parallel: parallel, Watched: 1, Digests: i == 1, Record: filepath.Join(b.TempDir(), "monitor.db")}
				cpu[i] = append(cpu[i], task.run(b).CPU.Seconds())
				info, err := os.Stat(task.Record)
				if err != nil {
					b.Fatal(err)
				}
				bytes[i] = float64(info.Size())
			}
		}
		b.ReportMetric(median(cpu[1])/median(cpu[0]), "with/without")
		b.ReportMetric((bytes[1]-bytes[0])/size*1e6/(1<<20), "MiB/million-entries")
	}
}
