# A package of its own, and no namespace: some distributions install theirs under this name, which would win.
