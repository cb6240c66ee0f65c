"""The list side of the approvers' room: finding, putting off, turning down several, keeping views, an action's life, export."""
