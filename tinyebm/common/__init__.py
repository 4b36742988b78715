"""Tools that every other room uses, and that know nothing of energies.

Read `kinds` first: it says what an energy, a space, a kernel, an objective and a distribution must
have.  `checks` and `errors` refuse wrong input, `estimate` holds a number with its error, `tree`
walks through nested parameters, `backend` says where arrays live and seeds random numbers,
`progress` draws a bar.
"""
