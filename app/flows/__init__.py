"""What a flow is: a statechart, a session model, a template for each state. Never the database."""
