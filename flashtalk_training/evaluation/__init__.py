"""How good a model is: lips, heads, colours, joins and drift."""
