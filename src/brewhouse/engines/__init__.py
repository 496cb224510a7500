"""What runs the models, and the dialect between them."""
