package kind

// Reservation is a name that one object of a kind may hold at a time: an address, a port.
type Reservation struct {
	Table string // in the store
	Name  string
}
