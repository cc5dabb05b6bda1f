package broker

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// However confirms come, each publish is handed out once, by its tag, and what is left is
// what the broker has said nothing of.
func TestUnconfirmedPublishesAreFoundByTheirTags(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var u unconfirmed
		open := map[uint64]*Publishing{}
		var last uint64
		inOrder := func(most uint64) (items []*Publishing) {
			for tag := range most + 1 {
				if item := open[tag]; item != nil {
					items = append(items, item)
				}
			}
			return items
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				n := rapid.IntRange(1, 20).Draw(t, "publishes")
				for range n {
					last++
					open[last] = &Publishing{}
					u.add(open[last])
				}
				if rapid.IntRange(0, 9).Draw(t, "refused") == 0 {
					u.withdraw(n)
					for range n {
						delete(open, last)
						last--
					}
				}
			default:
				tag := rapid.Uint64Range(0, last+2).Draw(t, "tag")
				multiple := rapid.Bool().Draw(t, "multiple")
				var want []*Publishing
				switch {
				case tag > last: // no such publish
				case multiple:
					want = inOrder(tag)
				case open[tag] != nil:
					want = []*Publishing{open[tag]}
				}
				if got := u.confirmed(tag, multiple, nil); !slices.Equal(got, want) {
					t.Fatalf("%d publishes for %d, multiple %v; want %d", len(got), tag, multiple, len(want))
				}
				for tag, item := range open {
					if slices.Contains(want, item) {
						delete(open, tag)
					}
				}
			}
			left := inOrder(last)
			if oldest := u.oldest(); u.open != len(left) || len(left) > 0 && oldest != left[0] || len(left) == 0 && oldest != nil {
				t.Fatalf("%d are open, or another is the oldest; want %d", u.open, len(left))
			}
		}
		if got, want := u.all(), inOrder(last); !slices.Equal(got, want) || u.open != 0 || u.oldest() != nil {
			t.Fatalf("%d were left, %d are after; want %d and none", len(got), u.open, len(want))
		}
	})
}
