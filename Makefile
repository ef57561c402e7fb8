# The documentation as a site, in build/site; warnings are errors. It needs the extra `docs`.
docs:
	python -m sphinx -W --keep-going -q -c docs -b html . build/site
	@echo "build/site/docs/index.html"

.PHONY: docs
