"""The report that an operator looks at: facts of the last weeks, and the page that draws them."""
