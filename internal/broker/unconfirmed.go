package broker

// unconfirmed are the publishes of one channel that the broker has not confirmed. Their
// delivery tags count from 1. The zero value is ready.
type unconfirmed struct {
	items fifo[*Publishing] // in the order of their tags; nil where one is confirmed, but not at the front
	past  uint64            // the tag before that of the front
	open  int               // how many there are
}

// add gives a publish the next tag.
func (u *unconfirmed) add(item *Publishing) {
	u.items.push(item)
	u.open++
}

// oldest returns the publish with the lowest tag, nil if there is none.
func (u *unconfirmed) oldest() *Publishing {
	if u.open == 0 {
		return nil
	}
	return u.items.waiting()[0]
}

// confirmed removes the publishes that a confirm is for, and appends them to out in their
// order. A tag that is not open changes nothing.
func (u *unconfirmed) confirmed(tag uint64, multiple bool, out []*Publishing) []*Publishing {
	items := u.items.waiting()
	at := tag - u.past - 1
	if at >= uint64(len(items)) {
		return out
	}
	from := at
	if multiple {
		from = 0
	}
	for i, item := range items[from : at+1] {
		if item != nil {
			out = append(out, item)
			items[from+uint64(i)] = nil
			u.open--
		}
	}
	for u.items.len() > 0 && u.items.waiting()[0] == nil {
		u.items.pop()
		u.past++
	}
	return out
}

// withdraw takes back the last n publishes, of which nothing has gone out.
func (u *unconfirmed) withdraw(n int) {
	u.items.cut(u.items.len() - n)
	u.open -= n
}

// all removes all that there are, and returns them in their order.
func (u *unconfirmed) all() []*Publishing {
	return u.confirmed(u.past+uint64(u.items.len()), true, nil)
}
