package upstream

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// Where the table goes is the environment's to say: the suite refuses flags it does not know in some of its processes.
const tablePath = "SAMPAN_UPSTREAM_TABLE"

// The first words of a failure are enough to know it by; the report beside the table has all of it.
const shownOfFailure = 240

type tally struct{ passed, failed, skipped, notRun int }

var _ = ginkgo.ReportAfterSuite("the table of conformance", func(report ginkgo.Report) {
	// The suite looks at itself once before it runs.
	if path := os.Getenv(tablePath); path != "" && !report.SuiteConfig.DryRun {
		if err := os.WriteFile(path, []byte(table(report.SpecReports)), 0o644); err != nil {
			ginkgo.Fail(err.Error())
		}
	}
})

// Who passed and who did not, by the group of Kubernetes that owns a test, and what the failures say.
func table(specs types.SpecReports) string {
	areas, sum := map[string]*tally{}, tally{}
	var failures []string
	for _, spec := range specs {
		name := spec.FullText()
		if !strings.Contains(name, "[Conformance]") {
			continue
		}
		area, _, _ := strings.Cut(strings.TrimPrefix(name, "["), "]")
		if areas[area] == nil {
			areas[area] = &tally{}
		}
		for _, counts := range []*tally{areas[area], &sum} {
			counts.add(spec)
		}
		if spec.Failed() {
			failures = append(failures, fmt.Sprintf("- %s\n  %s", name, shown(spec.FailureMessage())))
		}
	}
	names := make([]string, 0, len(areas))
	for area := range areas {
		names = append(names, area)
	}
	slices.Sort(names)
	slices.Sort(failures)
	var text strings.Builder
	fmt.Fprintln(&text, "| area | passed | failed | skipped by itself | not run |\n| --- | --- | --- | --- | --- |")
	for _, area := range names {
		fmt.Fprintln(&text, areas[area].row(area))
	}
	fmt.Fprintln(&text, sum.row("all"))
	for _, failure := range failures {
		fmt.Fprintf(&text, "\n%s\n", failure)
	}
	return text.String()
}

func (t *tally) add(spec types.SpecReport) {
	switch {
	case spec.Failed():
		t.failed++
	case spec.State.Is(types.SpecStatePassed):
		t.passed++
	case spec.StartTime.IsZero() || spec.NumAttempts == 0:
		t.notRun++
	default:
		t.skipped++
	}
}

func (t *tally) row(area string) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d |", area, t.passed, t.failed, t.skipped, t.notRun)
}

func shown(message string) string {
	words := strings.Join(strings.Fields(message), " ")
	if len(words) > shownOfFailure {
		words = words[:shownOfFailure] + " …"
	}
	return words
}
